package cli

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAnswer bounds what one question takes: 64 digits with every digit set apart
// are 127 runes. More is dropped. The bound also keeps a secret in one place in
// memory, as the buffer never grows and so is never copied.
const maxAnswer = 256

// roomForAnswer is how many columns an answer needs beside its question.
const roomForAnswer = 6

// Ask shows a question and gives the line typed, with blanks at both ends
// dropped. The answer is seen while it is typed: not for secrets.
func (t *Terminal) Ask(ctx context.Context, question string) (string, error) {
	var answer string
	question = printable(question)
	// A line that wraps cannot be drawn again: a question that leaves no room for
	// an answer gets lines of its own.
	if utf8.RuneCountInString(question) > t.Width()-roomForAnswer {
		t.Print("%s\n", question)
		question = "> "
	}
	err := t.raw(func() error {
		e := t.newEditor(func(text []rune, _ bool) {
			t.write("\r\x1b[K" + clip(question+string(text), t.Width()-1))
		})
		defer e.wipe()
		if err := e.run(ctx); err != nil {
			t.write("\n")
			return err
		}
		answer = strings.TrimSpace(string(e.text))
		t.write("\n")
		return nil
	})
	return answer, err
}

// Confirm asks a question with two answers. Anything but y or yes is no.
func (t *Terminal) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := t.Ask(ctx, question+" [y/N] ")
	if err != nil {
		return false, err
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", nil
}

// Digits asks for the 64 digits. A dot stands for every digit typed, in the
// groups and rows the digits are shown in, so that the person sees where he is;
// Tab shows the digits and hides them again. At the end the rows are erased.
// Blanks and dashes are dropped. The caller wipes the answer.
func (t *Terminal) Digits(ctx context.Context, question string) ([]byte, error) {
	var answer []byte
	err := t.raw(func() error {
		block := &block{t: t}
		t.write(question + "\n")
		e := t.newEditor(func(text []rune, show bool) { block.draw(digitRows(text, show)) })
		e.secret = true
		defer e.wipe()
		err := e.run(ctx)
		block.draw(nil)
		if err != nil {
			return err
		}
		t.write("  (" + Plural(len(e.text), "digit", "digits") + ")\n")
		answer = e.bytes()
		return nil
	})
	return answer, err
}

// Show shows text on a screen of its own until Enter is pressed, then erases it:
// nothing stays on the screen or in what can be scrolled back to.
func (t *Terminal) Show(ctx context.Context, text, question string) error {
	if t.Erases {
		t.modes.enterScreen(t.out)
		defer t.modes.leaveScreen()
	}
	t.Print("%s", text)
	_, err := t.Ask(ctx, question)
	return err
}

// digitRows lays out digits in rows of four groups of four.
func digitRows(text []rune, show bool) []string {
	rows := []string{""}
	for i, r := range text {
		if i > 0 && i%16 == 0 {
			rows = append(rows, "")
		}
		if i%4 == 0 {
			rows[len(rows)-1] += " "
		}
		rows[len(rows)-1] += shown(r, show)
	}
	for i := range rows {
		rows[i] = RowLabel(i) + rows[i]
	}
	return rows
}

// RowLabel names the groups of a row of the 64 digits, so that a person who
// types them finds the place: "  groups  1-4  ".
func RowLabel(row int) string {
	return [...]string{"  groups  1-4  ", "  groups  5-8  ", "  groups  9-12 ", "  groups 13-16 "}[min(row, 3)]
}

// shown hides a digit. A rune that is none is shown as what it is: it
// belongs to no key, and the person should see it.
func shown(r rune, show bool) string {
	if !show && strings.ContainsRune("0123456789abcdefABCDEF", r) {
		return "•"
	}
	return string(r)
}

// block is some lines at the cursor that are drawn again and again.
type block struct {
	t     *Terminal
	lines int
}

func (b *block) draw(rows []string) {
	out := "\r"
	if b.lines > 1 {
		out += strings.Repeat("\x1b[A", b.lines-1)
	}
	b.t.write(out + "\x1b[J" + strings.Join(rows, "\n"))
	b.lines = len(rows)
}

// editor reads one line in raw mode.
type editor struct {
	t      *Terminal
	draw   func(text []rune, show bool)
	text   []rune
	show   bool
	secret bool // drop blanks and dashes; Tab shows and hides
	whole  bool // keep every character but controls, up to the room in text
	over   bool // there were more
}

func (t *Terminal) newEditor(draw func([]rune, bool)) *editor {
	return &editor{t: t, draw: draw, text: make([]rune, 0, maxAnswer)}
}

func (e *editor) run(ctx context.Context) error {
	e.draw(e.text, e.show)
	for {
		r, err := e.rune(ctx)
		if err != nil {
			return err
		}
		switch r {
		case '\r', '\n':
			e.draw(e.text, e.show) // typed and entered in one go, it was not drawn yet
			return nil
		case 3: // Ctrl-C
			return ErrInterrupted
		case 4: // Ctrl-D
			if len(e.text) == 0 {
				return ErrInterrupted
			}
		case 0x1b:
			if err := e.skipEscape(ctx); err != nil {
				return err
			}
		default:
			e.edit(r)
		}
		if len(e.t.rest) == 0 { // a paste is drawn once
			e.draw(e.text, e.show)
		}
	}
}

func (e *editor) edit(r rune) {
	switch {
	case r == 0x7f || r == 8: // backspace
		if n := len(e.text); n > 0 {
			e.text[n-1] = 0
			e.text = e.text[:n-1]
		}
	case r == 21: // Ctrl-U
		e.wipe()
	case e.whole:
		if n := len(e.text); unicode.IsControl(r) || n == cap(e.text) {
			e.over = e.over || n == cap(e.text)
			return
		}
		e.text = append(e.text, r)
	case e.secret && r == '\t':
		e.show = !e.show
	case e.secret && (unicode.IsSpace(r) || unicode.Is(unicode.Pd, r)):
	case unicode.IsPrint(r) && len(e.text) < maxAnswer:
		e.text = append(e.text, r)
	}
}

// rune puts together the bytes of one rune.
func (e *editor) rune(ctx context.Context) (rune, error) {
	var buf [utf8.UTFMax]byte
	for n := range buf {
		b, err := e.t.key(ctx)
		if err != nil {
			return 0, err
		}
		buf[n] = b
		if utf8.FullRune(buf[:n+1]) {
			r, _ := utf8.DecodeRune(buf[:n+1])
			return r, nil
		}
	}
	return utf8.RuneError, nil
}

// skipEscape drops an arrow key and the like, which arrive as ESC [ … letter in
// one read. A lone ESC has nothing behind it.
func (e *editor) skipEscape(ctx context.Context) error {
	if len(e.t.rest) == 0 || e.t.rest[0] != '[' && e.t.rest[0] != 'O' {
		return nil
	}
	for first := true; ; first = false {
		b, err := e.t.key(ctx)
		if err != nil {
			return err
		}
		if !first && b >= 0x40 && b <= 0x7e {
			return nil
		}
	}
}

func (e *editor) bytes() []byte {
	out := make([]byte, 0, maxAnswer*utf8.UTFMax)
	for _, r := range e.text {
		out = utf8.AppendRune(out, r)
	}
	return out
}

func (e *editor) wipe() {
	clear(e.text)
	e.text = e.text[:0]
}
