package cobblestone

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is embedded in the types that hold keys or plaintext, so that none of
// the usual ways of printing a value prints theirs.
type redacted struct{}

const redaction = "[redacted]"

func (redacted) String() string               { return redaction }
func (redacted) GoString() string             { return redaction }
func (redacted) Format(f fmt.State, _ rune)   { io.WriteString(f, redaction) }
func (redacted) LogValue() slog.Value         { return slog.StringValue(redaction) }
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redaction + `"`), nil }
