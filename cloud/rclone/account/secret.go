package account

import (
	"fmt"
	"io"
	"log/slog"
)

// What every secret of this package prints as.
const redacted = "account(redacted)"

// A Secret is a password, an access key, a code or a token. It keeps itself
// out of printers that work by reflection: a function is the one thing they
// cannot look into. Copies share the bytes, so that one Wipe wipes them all.
type Secret struct{ held func() *[]byte }

// NewSecret takes b over: the caller must not use it again.
func NewSecret(b []byte) Secret { return Secret{func() *[]byte { return &b }} }

// Empty says that there is nothing in it, or nothing any more.
func (s Secret) Empty() bool { return s.held == nil || len(*s.held()) == 0 }

// reveal copies the secret into a string, as rclone takes it; that copy cannot
// be wiped.
func (s Secret) reveal() string {
	if s.Empty() {
		return ""
	}
	return string(*s.held())
}

// Wipe overwrites the secret, in every copy. It may be called twice.
func (s Secret) Wipe() {
	if s.held != nil {
		clear(*s.held())
		*s.held() = nil
	}
}

// String returns a fixed word, never the secret.
func (s Secret) String() string { return redacted }

// GoString returns a fixed word, never the secret.
func (s Secret) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue gives a fixed word, never the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON gives a fixed word, never the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
