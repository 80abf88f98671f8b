package replica

import (
	"context"
	"errors"
	"io"

	"keepsake.example/anchor"
)

// Join makes a member that has nothing yet but its number and the group's secret:
// it waits for the leader, which knows it from a signed change, to send it the
// state. It needs an anchor that nothing was founded on, and a folder without a
// replica (ErrExists). After a crash Join can be called again. The caller wipes the secret.
func Join(ctx context.Context, c Config, member uint64, secret *[32]byte) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if member == 0 {
		return errors.New("replica: a member's number is 1 or more")
	}
	disk, err := c.disk()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if err := c.vacant(ctx, disk); err != nil {
		return err
	}
	key := anchor.KeyFromBytes(*secret)
	defer key.Wipe()
	return c.found(ctx, disk, base{member: member, secret: key}, nothing{})
}

// nothing is the picture of a member that has no state.
type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (nothing) Release()                         {}
