package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"

	"keepsake.example/internal/command"
)

// hasty is a person at a terminal who answers while the question is being shown.
type hasty struct {
	keyboard, terminal *os.File
	keys               []string
}

func (h *hasty) Write(text []byte) (int, error) {
	if bytes.HasSuffix(text, []byte(": ")) {
		io.WriteString(h.keyboard, h.keys[0])
		h.keys = h.keys[1:]
	}
	return h.terminal.Write(text)
}

// What is typed as soon as the question is there is not shown, corrected or not.
func TestSecretIsNotShown(t *testing.T) {
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	defer terminal.Close()
	h := &hasty{keyboard, terminal, []string{"blue sofa\r", "green\x15blurr\b\x7fé\x7fe sofa\r", "no\x03"}}
	a := &app{Output: command.Output{Out: h, Err: h}, in: terminal}
	s, err := a.secret("the secret", "", true)
	if err != nil {
		t.Fatal(err)
	}
	s.Use(func(b []byte) {
		if string(b) != "blue sofa" {
			t.Errorf("read %q", b)
		}
	})
	if _, err := a.secret("the secret", "", false); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted: %v", err)
	}
	fmt.Fprint(terminal, "the end.")
	var shown []byte
	for b := make([]byte, 256); !bytes.Contains(shown, []byte("the end.")); {
		n, err := keyboard.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, b[:n]...)
	}
	if want := "the secret: \r\nthe secret, again: \r\nthe secret: \r\nthe end."; string(shown) != want {
		t.Errorf("shown: %q, want %q", shown, want)
	}
}
