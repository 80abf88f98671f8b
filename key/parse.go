package key

import (
	"fmt"
	"unicode/utf8"
)

// MaxText is the longest text, in bytes, that is read as a key. The shown form
// has 79; the rest is room for odd spacing, one separator after every digit
// included, without letting a wrong file be read to its end.
const MaxText = 4096

// Digits is what a person typed, with spaces, dashes and case normalised away.
// It is as secret as the key and redacts itself like one. The zero value has no
// digits.
type Digits struct {
	typed func() *typed // a function for the reasons given at Key
}

type typed struct {
	values []byte // 0..15 each
}

// ParseDigits reads hexadecimal digits in any case, ASCII or full-width, and
// drops separators (spec/key.md §4). It does not count the digits: [Digits.Key]
// does. Any other character is a [*DigitError]; a text over [MaxText] bytes is
// refused unread. The caller wipes text, which is not kept.
func ParseDigits(text []byte) (Digits, error) {
	if len(text) > MaxText {
		return Digits{}, fmt.Errorf("key: %d bytes of text, at most %d are read", len(text), MaxText)
	}
	// Full capacity now: growing would leave copies of the digits behind.
	values := make([]byte, 0, len(text))
	for line := 1; len(text) > 0; {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if v, ok := digitValue(r); ok {
			values = append(values, v)
		} else if !isSeparator(r) {
			e := &DigitError{Position: len(values) + 1, Line: line, Rune: r}
			clear(values)
			return Digits{}, e
		}
		if r == '\n' {
			line++
		}
	}
	t := &typed{values: values}
	return Digits{typed: func() *typed { return t }}, nil
}

// Parse reads a whole key: [ParseDigits] and [Digits.Key] in one.
func Parse(text []byte) (*Key, error) {
	d, err := ParseDigits(text)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	return d.Key()
}

// Len returns the number of digits.
func (d Digits) Len() int { return len(d.values()) }

// Key returns the key that the digits are, or a [*LengthError] unless there are
// exactly 64. Every text of 64 digits is a key: nothing in it says whether it is
// the right one.
func (d Digits) Key() (*Key, error) {
	if d.Len() != numDigits {
		return nil, &LengthError{Got: d.Len()}
	}
	h := &held{}
	for i, v := range d.values() {
		setDigit(&h.secret, i, v)
	}
	return hold(h), nil
}

// Wipe overwrites the digits with zeros and empties d, in every copy of d.
func (d Digits) Wipe() {
	if d.typed == nil {
		return
	}
	t := d.typed()
	clear(t.values)
	t.values = nil
}

func (d Digits) values() []byte {
	if d.typed == nil {
		return nil
	}
	return d.typed().values
}

func digitValue(r rune) (v byte, ok bool) {
	r = narrow(r)
	switch {
	case '0' <= r && r <= '9':
		return byte(r - '0'), true
	case 'a' <= r && r <= 'f':
		return byte(r-'a') + 10, true
	case 'A' <= r && r <= 'F':
		return byte(r-'A') + 10, true
	}
	return 0, false
}

// narrow gives the ASCII character of a full-width one (U+FF01..U+FF5E): East
// Asian input methods type those with the same keys, and they mean nothing else.
func narrow(r rune) rune {
	if r >= 0xFF01 && r <= 0xFF5E {
		return r - 0xFF01 + '!'
	}
	return r
}

// isSeparator is the table of spec/key.md §4.2. It is written out, and not taken
// from the unicode package, so that it does not change with a Go release.
func isSeparator(r rune) bool {
	return isSpace(r) || isInvisible(r) || isDash(r)
}

func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
		return true
	}
	return 0x2000 <= r && r <= 0x200A
}

func isInvisible(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x180E, r == 0xFEFF:
	case 0x200B <= r && r <= 0x200F: // zero-width space, joiners, direction marks
	case 0x202A <= r && r <= 0x202E: // direction embedding
	case 0x2060 <= r && r <= 0x2064: // word joiner, invisible operators
	case 0x2066 <= r && r <= 0x2069: // direction isolates
	case 0xFE00 <= r && r <= 0xFE0F: // variation selectors
	default:
		return false
	}
	return true
}

// isDash holds the dashes (general category Pd) of Unicode 15.0, and those that
// are dashes only by their looks or by the key that types them.
func isDash(r rune) bool {
	switch r {
	case '-', 0x58A, 0x5BE, 0x1400, 0x1806, 0x2E17, 0x2E1A, 0x2E3A, 0x2E3B, 0x2E40, 0x2E5D,
		0x301C, 0x3030, 0x30A0, 0xFE31, 0xFE32, 0xFE58, 0xFE63, 0xFF0D, 0x10EAD:
		return true
	case 0x2043, 0x2212: // hyphen bullet, minus
		return true
	case 0x30FC, 0xFF70: // what the hyphen key gives in a Japanese input method
		return true
	}
	return 0x2010 <= r && r <= 0x2015
}
