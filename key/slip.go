package key

import (
	"fmt"
	"log/slog"
)

// Check says whether candidate is the right key. FindSlip calls it concurrently
// and up to 454,623 times, so it should take a microsecond or two. It must not
// change candidate or keep the pointer, and should compare in constant time.
type Check func(candidate *[Size]byte) bool

// SlipKind is what a person did wrong (spec/key.md §5.1).
type SlipKind int

// The kinds of slip, in the order in which they are looked for.
const (
	WrongDigit SlipKind = iota + 1 // one digit is another one
	Swapped                        // two neighbours changed places
	Missing                        // one digit was left out: 63 typed
	Doubled                        // one digit too many, a repeated one or any other: 65 typed
	TwoWrong                       // two digits are other ones
)

// String returns the name of the kind, as spec/key.md §5.1 has it.
func (k SlipKind) String() string {
	switch k {
	case WrongDigit:
		return "wrong digit"
	case Swapped:
		return "swapped"
	case Missing:
		return "missing"
	case Doubled:
		return "doubled"
	case TwoWrong:
		return "two wrong"
	}
	return fmt.Sprintf("SlipKind(%d)", int(k))
}

// Fix is the repair of one digit.
type Fix struct {
	// Position counts from 1, in the right key; for Doubled, in what was typed.
	Position int
	// Want is the right digit, '0'..'9' or 'a'..'f': secret, like any digit of
	// the key. For Doubled it is 0: the digit goes away.
	Want byte
	// Repeats is set for Doubled when the digit equals the one after it.
	Repeats bool
}

// Slip is a typing slip that was found: one Fix, or two for Swapped and TwoWrong.
type Slip struct {
	Kind  SlipKind
	Fixes []Fix
	Key   *Key // the right key; the caller wipes it
}

// String says what to correct, in the words of spec/key.md §5.3. SECRET: it
// names one or two digits of the key, so it is for the person who typed, not for
// a log.
func (s *Slip) String() string {
	f := s.Fixes
	switch s.Kind {
	case WrongDigit:
		return f[0].shouldBe()
	case Swapped:
		return fmt.Sprintf("digits %d and %d are swapped (%s and %s)", f[0].Position, f[1].Position,
			placed("", f[0].Position, ""), placed("", f[1].Position, ""))
	case Missing:
		return fmt.Sprintf("digit %d is missing: it is %c%s", f[0].Position, f[0].Want, placed(" (", f[0].Position, ")"))
	case Doubled:
		return f[0].goesAway()
	case TwoWrong:
		return f[0].shouldBe() + " and " + f[1].shouldBe()
	}
	return s.Kind.String()
}

// LogValue gives the kind alone, so that a log does not collect digits.
func (s *Slip) LogValue() slog.Value { return slog.StringValue(s.Kind.String()) }

func (f Fix) shouldBe() string {
	return fmt.Sprintf("digit %d should be %c%s", f.Position, f.Want, placed(" (", f.Position, ")"))
}

// goesAway places an extra digit against the right key, because the groups of
// what was typed are no longer those on the paper.
func (f Fix) goesAway() string {
	switch {
	case f.Repeats:
		return fmt.Sprintf("digit %d is typed twice%s", f.Position, placed(" (", f.Position, ")"))
	case f.Position == 1:
		return "digit 1 is one too many (before the first digit of group 1)"
	}
	return fmt.Sprintf("digit %d is one too many%s", f.Position, placed(" (after ", f.Position-1, ")"))
}
