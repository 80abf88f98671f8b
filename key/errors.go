package key

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DigitError reports a character that is neither a digit nor a separator. It
// holds no digit of the key beyond that character and what it looks like.
type DigitError struct {
	Position int  // the digit it stands in place of, from 1
	Line     int  // the line of the text, from 1
	Rune     rune // the character; U+FFFD when the text is not UTF-8
}

// Error returns the text of spec/key.md §4.3.
func (e *DigitError) Error() string {
	var b strings.Builder
	b.WriteString("key: ")
	if e.Line > 1 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	fmt.Fprintf(&b, "digit %d%s is ", e.Position, placed(" (", e.Position, ")"))
	if e.Rune == utf8.RuneError {
		b.WriteString("not UTF-8 text")
		return b.String()
	}
	fmt.Fprintf(&b, "%s, not one of 0-9 and a-f", named(e.Rune))
	if d, ok := e.Likely(); ok {
		fmt.Fprintf(&b, "; it looks like %c", d)
	}
	return b.String()
}

// Likely returns the digit that the character is most easily taken for, and
// false when there is none. It is a guess from the shape alone.
func (e *DigitError) Likely() (digit rune, ok bool) {
	for _, l := range lookAlikes {
		if strings.ContainsRune(l.runes, narrow(e.Rune)) {
			return l.digit, true
		}
	}
	return 0, false
}

// lookAlikes is the table of spec/key.md §4.4. Letters of other scripts are
// escaped, because they cannot be told from ours by eye.
var lookAlikes = []struct {
	digit rune
	runes string
}{
	{'0', "OoQ\u00d8\u00f8\u041e\u043e\u039f\u03bf"},
	{'1', "lIi|!\u0406\u0456\u0399\u03b9"},
	{'2', "Zz\u0396"},
	{'3', "\u0417\u0437"},
	{'5', "Ss$\u0405\u0455"},
	{'6', "G\u0431"},
	{'9', "gq"},
	{'a', "\u0410\u0430\u0391\u03b1"},
	{'b', "\u0412\u0392\u042c\u044c"},
	{'c', "\u0421\u0441"},
	{'e', "\u0415\u0435\u0395\u0451"},
}

// named shows a character: quoted and escaped, so that a control character does
// nothing to the terminal, and with its number when it is not ASCII, since it
// may look like a good digit.
func named(r rune) string {
	if r < utf8.RuneSelf {
		return fmt.Sprintf("%q", r)
	}
	return fmt.Sprintf("%q (U+%04X)", r, r)
}

// LengthError reports a number of digits other than 64.
type LengthError struct {
	Got int // how many digits there are
}

// Error returns the text of spec/key.md §4.3.
func (e *LengthError) Error() string {
	const whole = "a key has 64, in 16 groups of four"
	switch {
	case e.Got == 0:
		return "key: no digits; " + whole
	case e.Got < numDigits:
		return fmt.Sprintf("key: %s, %d missing; %s", count(e.Got), numDigits-e.Got, whole)
	}
	return fmt.Sprintf("key: %s, %d too many; %s", count(e.Got), e.Got-numDigits, whole)
}

func count(n int) string {
	if n == 1 {
		return "1 digit"
	}
	return fmt.Sprintf("%d digits", n)
}

// placed names where the digit at position (from 1) stands in the shown key,
// between before and after; it returns nothing when the key has no such digit.
func placed(before string, position int, after string) string {
	if position < 1 || position > numDigits {
		return ""
	}
	nth := [groupDigits]string{"first", "second", "third", "last"}[(position-1)%groupDigits]
	group := (position-1)/groupDigits + 1
	return fmt.Sprintf("%sthe %s digit of group %d%s", before, nth, group, after)
}
