package ceremony

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a transcript.
const (
	MaxText  = 64 << 10 // bytes, without signatures
	MaxSteps = 32
	MaxFacts = 128  // of a step
	MaxValue = 1024 // bytes of a title and of a fact's value
	maxName  = 32
)

const (
	title      = "keepsake ceremony transcript v1"
	founding   = "kind founding"
	rehearsal  = "kind rehearsal"
	beganName  = "began "
	digestName = "digest"
	labelStep  = "keepsake ceremony step\x01"
)

var (
	// ErrText is what is no transcript in its one form, or one whose digests do not
	// follow from its steps: it was changed since, or mistyped.
	ErrText = errors.New("ceremony: not a transcript in its one form, or changed since")
	// ErrFact is a title or fact that cannot stand in a transcript.
	ErrFact = errors.New("ceremony: cannot stand in a transcript")
)

// Fact is one line of a step.
type Fact struct {
	Name  string // a-z, 0-9 and hyphens, up to 32; not "digest"
	Value string // one line of up to MaxValue bytes of printable text, spaces only inside
}

// Step is what was done at one time.
type Step struct {
	Title  string // as a fact's value
	Facts  []Fact
	Digest [sha256.Size]byte // of this step and all before it
}

// Transcript is the record of a ceremony. Make one with [New].
type Transcript struct {
	Rehearsal bool      // nothing of it counts
	Began     time.Time // UTC, whole seconds
	Steps     []Step
}

// New begins a transcript.
func New(began time.Time, rehearsal bool) *Transcript {
	return &Transcript{Rehearsal: rehearsal, Began: began.UTC().Truncate(time.Second)}
}

// Add writes down one step. The digest in it is for reading aloud. ErrFact, and then
// nothing was added.
func (t *Transcript) Add(title string, facts ...Fact) (*Step, error) {
	s := Step{Title: title, Facts: facts}
	if err := s.check(); err != nil {
		return nil, err
	}
	s.Digest = s.digest(len(t.Steps)+1, t.Digest())
	longer := Transcript{t.Rehearsal, t.Began, append(t.Steps[:len(t.Steps):len(t.Steps)], s)}
	if len(longer.Steps) > MaxSteps || len(longer.Text()) > MaxText {
		return nil, fmt.Errorf("%w: too long", ErrFact)
	}
	*t = longer
	return &t.Steps[len(t.Steps)-1], nil
}

// Digest is that of the last step, or of the head before the first.
func (t *Transcript) Digest() [sha256.Size]byte {
	if n := len(t.Steps); n > 0 {
		return t.Steps[n-1].Digest
	}
	return sha256.Sum256([]byte(labelStep + t.head()))
}

// Fact returns the value of the first fact with a name, in any step.
func (t *Transcript) Fact(name string) (value string, ok bool) {
	for _, v := range t.Facts(name) {
		return v, true
	}
	return "", false
}

// Facts returns the values of all facts with a name, in their order.
func (t *Transcript) Facts(name string) (values []string) {
	for _, s := range t.Steps {
		for _, f := range s.Facts {
			if f.Name == name {
				values = append(values, f.Value)
			}
		}
	}
	return values
}

// Text is the transcript's one form.
func (t *Transcript) Text() string {
	b := new(strings.Builder)
	b.WriteString(t.head())
	for i, s := range t.Steps {
		fmt.Fprintf(b, "\n%s%s %x\n", s.lines(i+1), digestName, s.Digest)
	}
	return b.String()
}

func (t *Transcript) head() string {
	kind := founding
	if t.Rehearsal {
		kind = rehearsal
	}
	return title + "\n" + kind + "\n" + beganName + t.Began.Format(time.RFC3339) + "\n"
}

// lines are those that a step's digest is over.
func (s *Step) lines(number int) string {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%d %s\n", number, s.Title)
	for _, f := range s.Facts {
		fmt.Fprintf(b, "%s %s\n", f.Name, f.Value)
	}
	return b.String()
}

func (s *Step) digest(number int, before [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte(labelStep), before[:]...), s.lines(number)...))
}

func (s *Step) check() error {
	if !isValue(s.Title) {
		return fmt.Errorf("%w: title %q", ErrFact, s.Title)
	}
	if len(s.Facts) > MaxFacts {
		return fmt.Errorf("%w: %d facts in one step", ErrFact, len(s.Facts))
	}
	for _, f := range s.Facts {
		if !isName(f.Name) || !isValue(f.Value) {
			return fmt.Errorf("%w: %q %q", ErrFact, f.Name, f.Value)
		}
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && s != digestName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func isValue(s string) bool {
	return s != "" && len(s) <= MaxValue && utf8.ValidString(s) && s == strings.TrimSpace(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Parse reads a text: ErrText.
func Parse(text string) (*Transcript, error) {
	if len(text) > MaxText {
		return nil, ErrText
	}
	head, rest, _ := strings.Cut(text, "\n\n")
	t, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "\n"), "\n\n") {
		if part == "" && rest == "" {
			break
		}
		if err := t.parseStep(part); err != nil {
			return nil, err
		}
	}
	if t.Text() != text {
		return nil, ErrText
	}
	return t, nil
}

func parseHead(head string) (*Transcript, error) {
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	if len(lines) != 3 || lines[0] != title || lines[1] != founding && lines[1] != rehearsal {
		return nil, ErrText
	}
	began, err := time.Parse(beganName+time.RFC3339, lines[2])
	if err != nil {
		return nil, ErrText
	}
	return New(began, lines[1] == rehearsal), nil
}

// parseStep adds a step, and looks whether its digest is the one that is written.
func (t *Transcript) parseStep(part string) error {
	lines := strings.Split(part, "\n")
	number, name, _ := strings.Cut(lines[0], " ")
	if len(lines) < 2 || number != strconv.Itoa(len(t.Steps)+1) {
		return ErrText
	}
	var facts []Fact
	for _, line := range lines[1 : len(lines)-1] {
		name, value, _ := strings.Cut(line, " ")
		facts = append(facts, Fact{name, value})
	}
	s, err := t.Add(name, facts...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrText, err)
	}
	if lines[len(lines)-1] != digestName+" "+hex.EncodeToString(s.Digest[:]) {
		return fmt.Errorf("%w: the digest of step %s is another", ErrText, number)
	}
	return nil
}

// Aloud is a digest as people read it to each other: 16 groups of four digits, four
// groups on a line.
func Aloud(digest [sha256.Size]byte) string {
	b := new(strings.Builder)
	for i, r := range hex.EncodeToString(digest[:]) {
		switch {
		case i%16 == 0 && i > 0:
			b.WriteByte('\n')
		case i%4 == 0 && i > 0:
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
