package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// ErrInterrupted tells that the person pressed Ctrl-C, or closed the input,
// instead of answering.
var ErrInterrupted = errors.New("interrupted at the terminal")

// ErrNoTerminal tells that there is nobody to ask.
var ErrNoTerminal = errors.New("no terminal to ask at")

// Terminal is the controlling terminal of the process, opened apart from
// standard input and output. Use it from one goroutine.
type Terminal struct {
	in, out *os.File
	// Erases is false for a terminal that knows no escape sequences ("dumb"):
	// what was shown on it stays. The caller sets it.
	Erases bool

	start sync.Once
	input chan []byte // what the reader goroutine got
	rest  []byte      // typed ahead
	modes modes
}

// OpenTerminal opens the controlling terminal. The error is [ErrNoTerminal]
// when the process has none.
func OpenTerminal() (*Terminal, error) {
	in, out, err := openTTY()
	if err != nil {
		return nil, ErrNoTerminal
	}
	return &Terminal{in: in, out: out, Erases: true, input: make(chan []byte)}, nil
}

// Close gives the terminal back as it was.
func (t *Terminal) Close() error {
	t.modes.restore()
	err := t.in.Close()
	if t.out != t.in {
		err = errors.Join(err, t.out.Close())
	}
	return err
}

// Width is the number of columns, 80 when unknown.
func (t *Terminal) Width() int { return WidthOf(t.out) }

// WidthOf is the number of columns of the terminal f, 80 when unknown.
func WidthOf(f *os.File) int {
	w := 0
	withFD(f, func(fd int) error {
		var err error
		w, _, err = term.GetSize(fd)
		return err
	})
	if w <= 0 {
		return 80
	}
	return w
}

// IsTerminal says whether v is a file that is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	is := false
	withFD(f, func(fd int) error { is = term.IsTerminal(fd); return nil })
	return is
}

// withFD lends f's descriptor. (Fd would turn f to blocking mode for good.)
func withFD(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) { inner = use(int(fd)) })
	return errors.Join(err, inner)
}

// Print writes a text to the terminal, which obeys nothing in it.
func (t *Terminal) Print(format string, args ...any) {
	t.write(printable(fmt.Sprintf(format, args...)))
}

// write ends lines as the present mode needs it: raw mode does not return the
// carriage by itself.
func (t *Terminal) write(text string) {
	if t.modes.isRaw() {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	io.WriteString(t.out, text)
}

// raw runs f in raw mode: no echo, no line editing by the system, Ctrl-C
// arrives as a byte.
func (t *Terminal) raw(f func() error) error {
	if err := t.modes.enterRaw(t.in); err != nil {
		return fmt.Errorf("hiding what is typed: %w", err)
	}
	defer t.modes.leaveRaw()
	return f()
}

// key waits for the next byte typed.
func (t *Terminal) key(ctx context.Context) (byte, error) {
	t.start.Do(func() { go t.read() })
	if len(t.rest) == 0 {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case got, ok := <-t.input:
			if !ok {
				return 0, ErrInterrupted
			}
			t.rest = got
		}
	}
	b := t.rest[0]
	t.rest[0] = 0
	t.rest = t.rest[1:]
	return b, nil
}

// read passes on what is typed until the terminal is closed. It is a goroutine
// because a read of a terminal cannot be given up when ctx ends.
func (t *Terminal) read() {
	defer close(t.input)
	for {
		buf := make([]byte, 256)
		n, err := t.in.Read(buf)
		if n > 0 {
			t.input <- buf[:n]
		}
		if err != nil {
			return
		}
	}
}

// modes is what was changed about the terminal and has to be undone. It has a
// lock because a second interrupt undoes it from another goroutine.
type modes struct {
	mu    sync.Mutex
	file  *os.File
	saved *term.State
	out   io.Writer // not nil while the alternate screen is shown
}

// current is what [RestoreTerminal] undoes.
var current struct {
	sync.Mutex
	m *modes
}

// RestoreTerminal undoes raw mode and the alternate screen, for a process that is
// about to exit from the middle of a question.
func RestoreTerminal() {
	current.Lock()
	defer current.Unlock()
	if current.m != nil {
		current.m.restore()
	}
}

func (m *modes) register() {
	current.Lock()
	current.m = m
	current.Unlock()
}

func (m *modes) isRaw() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved != nil
}

func (m *modes) enterRaw(f *os.File) error {
	m.register()
	m.mu.Lock()
	defer m.mu.Unlock()
	return withFD(f, func(fd int) (err error) {
		m.file = f
		m.saved, err = term.MakeRaw(fd)
		return err
	})
}

func (m *modes) leaveRaw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cook()
}

func (m *modes) cook() {
	if m.saved != nil {
		withFD(m.file, func(fd int) error { return term.Restore(fd, m.saved) })
	}
	m.saved = nil
}

const (
	alternateScreen = "\x1b[?1049h\x1b[2J\x1b[H"
	// Cleared before it is left: some terminals keep the alternate screen.
	primaryScreen = "\x1b[2J\x1b[H\x1b[?1049l"
)

func (m *modes) enterScreen(out io.Writer) {
	m.register()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out = out
	io.WriteString(out, alternateScreen)
}

func (m *modes) leaveScreen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out != nil {
		io.WriteString(m.out, primaryScreen)
	}
	m.out = nil
}

func (m *modes) restore() {
	m.leaveScreen()
	m.leaveRaw()
}
