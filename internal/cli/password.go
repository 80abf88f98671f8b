package cli

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"
)

// maxPassword is the longest password in runes. A longer one is refused as a whole: to
// cut it would make it another one.
const maxPassword = 1024

// errLongPassword is a password of more than maxPassword runes.
var errLongPassword = errors.New("the password has over 1,024 characters")

// errNotText is a password from a terminal that does not speak UTF-8.
var errNotText = errors.New("what was typed is not UTF-8: set the terminal to it")

// maxPaste is the longest text that is pasted, in runes: the answer of a provider's
// sign-in page, with tokens in it.
const maxPaste = 16 << 10

// errLongPaste is a paste of more than maxPaste runes.
var errLongPaste = errors.New("what was pasted has over 16,384 characters")

// Password asks for a password. Nothing of it is shown, not even its length, and
// nothing typed is dropped but control characters: blanks belong to it. The caller
// wipes the answer.
func (t *Terminal) Password(ctx context.Context, question string) ([]byte, error) {
	return t.hidden(ctx, question, maxPassword, errLongPassword)
}

// Paste asks for a long secret that nobody types, such as a token: like Password,
// with room for 16,384 characters in one line, which is more than a terminal would
// take by itself. The caller wipes the answer.
func (t *Terminal) Paste(ctx context.Context, question string) ([]byte, error) {
	return t.hidden(ctx, question, maxPaste, errLongPaste)
}

func (t *Terminal) hidden(ctx context.Context, question string, room int, errLong error) ([]byte, error) {
	var answer []byte
	err := t.raw(func() error {
		t.write(question)
		e := &editor{t: t, draw: func([]rune, bool) {}, text: make([]rune, 0, room), whole: true}
		defer e.wipe()
		err := e.run(ctx)
		t.write("\n")
		if err == nil && e.over {
			err = errLong
		}
		if err != nil {
			return err
		}
		if slices.Contains(e.text, utf8.RuneError) {
			return errNotText
		}
		answer = make([]byte, 0, utf8.UTFMax*len(e.text))
		for _, r := range e.text {
			answer = utf8.AppendRune(answer, r)
		}
		return nil
	})
	return answer, err
}
