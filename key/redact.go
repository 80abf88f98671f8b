package key

import (
	"fmt"
	"io"
	"log/slog"
)

// What secrets print as (spec/key.md §6.1). Neither says anything of the value,
// not even whether there is one.
const (
	redactedKey    = "key.Key(redacted)"
	redactedDigits = "key.Digits(redacted)"
)

// The methods below have value receivers so that they cover Key and *Key alike:
// with pointer receivers fmt would not find them on a Key value.

// String returns a fixed word, never the key.
func (k Key) String() string { return redactedKey }

// GoString returns a fixed word, never the key.
func (k Key) GoString() string { return redactedKey }

// Format writes a fixed word for every verb and flag.
func (k Key) Format(f fmt.State, verb rune) { io.WriteString(f, redactedKey) }

// LogValue returns a fixed word, never the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(redactedKey) }

// MarshalJSON returns a fixed word as a JSON string, never the key.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedKey + `"`), nil }

// String returns a fixed word, never the digits.
func (d Digits) String() string { return redactedDigits }

// GoString returns a fixed word, never the digits.
func (d Digits) GoString() string { return redactedDigits }

// Format writes a fixed word for every verb and flag.
func (d Digits) Format(f fmt.State, verb rune) { io.WriteString(f, redactedDigits) }

// LogValue returns a fixed word, never the digits.
func (d Digits) LogValue() slog.Value { return slog.StringValue(redactedDigits) }

// MarshalJSON returns a fixed word as a JSON string, never the digits.
func (d Digits) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedDigits + `"`), nil }
