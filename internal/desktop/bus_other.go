//go:build !linux && !darwin

package desktop

import (
	"context"
	"errors"
)

// metered: the platform does not tell us.
func (d Desktop) metered(context.Context) Answer { return Unknown }

func (d Desktop) tell(context.Context, Message) error {
	return errors.New("desktop: messages are not shown on this system")
}
