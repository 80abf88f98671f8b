package tpm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
)

// forms is one of each that [tpm.Decoders] read, from a real machine.
func forms(t testing.TB) map[string][]byte {
	t.Helper()
	b, other := founded(t), prepared(t)
	all := map[string][]byte{}
	ctx := context.Background()
	other.with(func(d *tpm.Device) { all["request"] = must(d.FleetKeyRequest(ctx)) })
	b.with(func(d *tpm.Device) {
		all["box"] = must(d.Seal(ctx, "label", []byte("secret")))
		must(d.MakeFleetKey(ctx, custodian))
		all["wrapped key"] = must(d.WrapFleetKey(ctx, custodian, all["request"]))
	})
	all["machine"] = must(os.ReadFile(filepath.Join(b.options.Dir, "machine")))
	all["fleet key"] = must(os.ReadFile(filepath.Join(b.options.Dir, "fleet-key")))
	slots := must(os.ReadFile(filepath.Join(b.options.Dir, tpm.StateName)))
	all["slot"] = must(tpm.Decoders["slot"](slots[:tpm.SlotPitch]))
	return all
}

// authentic are the forms that no change of any byte leaves readable; of the others it is
// the chip that refuses a change (anchortest).
var authentic = map[string]bool{"machine": true, "slot": true}

func TestMangled(t *testing.T) {
	for name, whole := range forms(t) {
		read := tpm.Decoders[name]
		if again, err := read(whole); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: read back otherwise: %v", name, err)
		}
		for n := range whole {
			// A box ends with what was sealed, of any length; a slot is followed by zeros.
			if _, err := read(whole[:n]); err == nil && !(name == "box" && n >= len(whole)-len("secret")) {
				t.Errorf("%s: read from %d bytes of %d", name, n, len(whole))
			}
			bad := bytes.Clone(whole)
			bad[n] ^= 1
			if again, err := read(bad); err == nil && (authentic[name] || !bytes.Equal(again, bad)) {
				t.Errorf("%s: read with byte %d changed", name, n)
			}
		}
		if _, err := read(append(bytes.Clone(whole), 0)); err == nil && name != "slot" && name != "box" {
			t.Errorf("%s: read with a byte after it", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range forms(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, read := range tpm.Decoders {
			again, err := read(b)
			if err == nil && !bytes.HasPrefix(b, again) {
				t.Errorf("%s: read back otherwise", name)
			}
		}
	})
}

// A state file that was changed, cut or emptied is refused and not taken for a new one.
func TestMangledState(t *testing.T) {
	b := founded(t)
	path := filepath.Join(b.options.Dir, tpm.StateName)
	whole := must(os.ReadFile(path))
	refused := func(data []byte) {
		t.Helper()
		check(t, os.WriteFile(path, data, 0o600))
		b.refuses(anchor.ErrForeign, "damaged")
	}
	size := len(must(tpm.Decoders["slot"](whole[:tpm.SlotPitch])))
	for at := 0; at < size; at += 31 {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		bad[tpm.SlotPitch+at] ^= 1
		refused(bad)
	}
	for _, n := range []int{0, 100, tpm.SlotPitch} {
		refused(whole[:n])
	}
	check(t, os.Remove(path))
	b.refuses(anchor.ErrForeign, "damaged")
	check(t, os.WriteFile(path, whole, 0o600))
	b.at(3, 0xa1)
}

func TestMangledMachine(t *testing.T) {
	b := founded(t)
	path := filepath.Join(b.options.Dir, "machine")
	whole := must(os.ReadFile(path))
	for _, data := range [][]byte{{}, whole[:len(whole)-1], bytes.Repeat(whole, 20)} {
		check(t, os.WriteFile(path, data, 0o600))
		if _, err := tpm.Open(t.Context(), b.options); err == nil {
			t.Errorf("opened with a file of %d bytes", len(data))
		}
	}
	check(t, os.Remove(path))
	b.refuses(anchor.ErrAbsent, "nothing was prepared")
}

// No chip, no driver, no program, nothing prepared.
func TestAbsent(t *testing.T) {
	b := founded(t)
	there := b.options.Path
	b.options.Path = filepath.Join(t.TempDir(), "none")
	b.refuses(anchor.ErrAbsent, b.options.Path)
	b.options.Path = "/dev/null" // a device that is no chip
	b.refuses(anchor.ErrAbsent, "/dev/null")
	b.options.Path = "tcp:127.0.0.1:1"
	b.refuses(anchor.ErrAbsent, "refused")
	b.options.Path = filepath.Join(b.options.Dir, "machine")
	if _, err := tpm.Open(t.Context(), b.options); err == nil || errors.Is(err, anchor.ErrAbsent) {
		t.Errorf("a file taken for a chip: %v", err)
	}
	b.options.Path = there
	b.at(3, 0xa1)
	check(t, b.chip.Kill())
	b.refuses(anchor.ErrAbsent, there)
	b.options.Dir = filepath.Join(t.TempDir(), "none")
	b.refuses(anchor.ErrAbsent, "nothing was prepared")
}

func TestSecondProcess(t *testing.T) {
	b := founded(t)
	b.with(func(*tpm.Device) { b.refuses(anchor.ErrInUse, "") })
	b.at(3, 0xa1)
}

// A custodian's secret that can be guessed is refused.
func TestShortSecret(t *testing.T) {
	b := newBox(t)
	short := must(anchor.NewSecret(bytes.Repeat([]byte("x"), tpm.MinCustodian-1)))
	if err := tpm.Prepare(t.Context(), b.options, short); err == nil || !strings.Contains(err.Error(), "needs 16") {
		t.Errorf("got %v", err)
	}
	check(t, tpm.Prepare(t.Context(), b.options, custodian))
}

func TestModes(t *testing.T) {
	b := founded(t)
	b.with(func(d *tpm.Device) { must(d.MakeFleetKey(t.Context(), custodian)) })
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "machine": 0o600, tpm.StateName: 0o600, "fleet-key": 0o600, "lock": 0o600} {
		if info := must(os.Stat(filepath.Join(b.options.Dir, name))); info.Mode() != want {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestDescribe(t *testing.T) {
	prepared(t).with(func(d *tpm.Device) {
		if s := d.Describe(); s.Insecure || s.Name != "tpm" || !strings.Contains(s.Protects, "not from who is root") {
			t.Errorf("%+v", s)
		}
	})
}

// serve answers each connection by f.
func serve(t *testing.T, f func(net.Conn)) (path string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f(conn)
			conn.Close()
		}
	}()
	return "tcp:" + listener.Addr().String()
}

func TestOverTCP(t *testing.T) {
	b := founded(t)
	socket := b.options.Path
	b.options.Path = serve(t, func(conn net.Conn) {
		chip, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		defer chip.Close()
		go func() { _, _ = io.Copy(chip, conn) }()
		_, _ = io.Copy(conn, chip)
	})
	d := b.open()
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Close())
}

// A chip that never answers is most likely somebody else's at the moment.
func TestSilentChip(t *testing.T) {
	b := founded(t)
	b.options.Path = serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	b.options = b.options.Limited(50 * time.Millisecond)
	b.refuses(anchor.ErrInUse, "no answer")
}

// Who waits for the chip need not wait longer than he wants.
func TestCancelledWhileWaiting(t *testing.T) {
	b, arrived, proceed := founded(t), make(chan struct{}), make(chan struct{})
	armed := false
	d := b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
		if armed {
			armed = false
			close(arrived)
			<-proceed
		}
		return chip.Send(command)
	}).open()
	armed = true
	done := make(chan error)
	go func() { done <- d.Advance(context.Background(), state(4)) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() { waiting <- d.Advance(ctx, state(4)) }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(proceed)
	check(t, <-done)
	check(t, d.Close())
	b.at(4, 0xa1)
}

// Nonsense for a response is an error, whatever its length says.
func TestNonsense(t *testing.T) {
	b := founded(t)
	for _, answer := range []string{"", "\x80\x01", "\x80\x01\x00\x00\x00\x09\x00\x00\x00\x00", "\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00",
		"\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00", "\x80\x01\x00\x00\x00\x10\x00\x00\x00\x00abcdef", strings.Repeat("\xff", 5000)} {
		b.options.Path = serve(t, func(conn net.Conn) {
			if _, err := conn.Read(make([]byte, 4096)); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
		})
		if _, err := tpm.Open(t.Context(), b.options); err == nil {
			t.Errorf("opened with %q for a response", answer)
		}
	}
}
