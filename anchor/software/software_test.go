package software_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/anchor/software"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	root := t.TempDir()
	anchortest.Run(t, func(t *testing.T, name string) anchor.Anchor {
		return must(software.Open(filepath.Join(root, name)))
	})
}

func TestDeviceConformance(t *testing.T) {
	root, custodian := t.TempDir(), secret("the custodian's")
	anchortest.RunDevice(t, func(t *testing.T, name string) anchor.Device {
		dir := filepath.Join(root, name)
		if err := software.Prepare(dir, custodian); err != nil && !errors.Is(err, anchor.ErrFounded) {
			t.Fatal(err)
		}
		return must(software.OpenDevice(dir))
	}, custodian)
}

func secret(text string) *anchor.Secret { return must(anchor.NewSecret([]byte(text))) }

func state(n uint64) anchor.State { return anchor.State{Counter: n, Head: [32]byte{byte(n), 7}} }

func keyOf(b byte) *anchor.Key { return anchor.KeyFromBytes([32]byte(bytes.Repeat([]byte{b}, 32))) }

// founded makes an anchor at 3, whose key is made of 0xa1 and was 0xa0 before.
func founded(t *testing.T) (dir string) {
	dir = t.TempDir()
	a := must(software.Open(dir))
	check(t, a.Found(t.Context(), state(1), keyOf(0xa0)))
	check(t, a.Rotate(t.Context(), state(2), keyOf(0xa1)))
	check(t, a.Advance(t.Context(), state(3)))
	check(t, a.Close())
	return dir
}

func counter(t *testing.T, dir string) (uint64, error) {
	a, err := software.Open(dir)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	s, k, err := a.Read(t.Context())
	k.Wipe()
	return s.Counter, err
}

func TestSecondProcess(t *testing.T) {
	dir := founded(t)
	a := must(software.Open(dir))
	if _, err := software.Open(dir); !errors.Is(err, anchor.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	check(t, a.Close())
	if n, err := counter(t, dir); n != 3 || err != nil {
		t.Errorf("after the first was closed: %d, %v", n, err)
	}
}

// After Rotate the file holds the old key nowhere.
func TestRotateOverwritesKey(t *testing.T) {
	data := must(os.ReadFile(filepath.Join(founded(t), "anchor")))
	if bytes.Contains(data, bytes.Repeat([]byte{0xa0}, 16)) {
		t.Error("the old key is in the file")
	}
	if !bytes.Contains(data, bytes.Repeat([]byte{0xa1}, 32)) {
		t.Error("the key is not where this test looks for it")
	}
}

// A crash in Rotate after its atomic step leaves the old key in one slot, until
// the next start.
func TestOpenFinishesRotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "anchor")
	a := must(software.Open(dir))
	check(t, a.Found(t.Context(), state(1), keyOf(0xa0)))
	before := must(os.ReadFile(path))
	check(t, a.Rotate(t.Context(), state(2), keyOf(0xa1)))
	check(t, a.Close())
	after := must(os.ReadFile(path))
	for _, torn := range [][]byte{
		append(bytes.Clone(before[:4096]), after[4096:]...),
		append(bytes.Clone(after[:4096]), before[4096:]...),
	} {
		check(t, os.WriteFile(path, torn, 0o600))
		if n, err := counter(t, dir); n != 2 || err != nil {
			t.Errorf("%d, %v; want 2", n, err)
		}
		if bytes.Contains(must(os.ReadFile(path)), bytes.Repeat([]byte{0xa0}, 16)) {
			t.Error("the old key is still in the file")
		}
	}
}

// A torn write leaves the state before it, wherever it was torn.
func TestTornWrite(t *testing.T) {
	dir := founded(t)
	path := filepath.Join(dir, "anchor")
	before := must(os.ReadFile(path))
	a := must(software.Open(dir))
	check(t, a.Advance(t.Context(), state(4)))
	check(t, a.Close())
	after := must(os.ReadFile(path))
	for at := range after {
		if before[at] == after[at] {
			continue
		}
		torn := append(bytes.Clone(after[:at]), before[at:]...)
		check(t, os.WriteFile(path, torn, 0o600))
		if n, err := counter(t, dir); err != nil || n != 3 {
			t.Fatalf("torn at byte %d: %d, %v", at, n, err)
		}
	}
}

// Mangled in both slots alike, the file is refused and not taken for a new one.
func TestMangle(t *testing.T) {
	dir := founded(t)
	path := filepath.Join(dir, "anchor")
	whole := must(os.ReadFile(path))
	copy(whole[4096:], whole[:4096]) // so that no slot stands in for the other
	refused := func(what string, at int, data []byte) {
		check(t, os.WriteFile(path, data, 0o600))
		if _, err := counter(t, dir); err == nil || errors.Is(err, anchor.ErrEmpty) {
			t.Fatalf("%s at byte %d: %v", what, at, err)
		}
	}
	for at := range software.SlotSize {
		bad := bytes.Clone(whole)
		bad[at]++
		bad[4096+at]++
		refused("changed", at, bad)
	}
	for _, n := range []int{0, 1, software.SlotSize, 4095, 4096, 4097, 8191} {
		refused("cut", n, whole[:n])
	}
}

func TestLeftoversAreSwept(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".tmp-left")
	check(t, os.WriteFile(left, []byte("key"), 0o600))
	check(t, must(software.Open(dir)).Close())
	if _, err := os.Stat(left); err == nil {
		t.Error("half a file of a crash is still there")
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "deeper")
	a := must(software.Open(dir))
	check(t, a.Found(t.Context(), state(1), keyOf(1)))
	check(t, a.Close())
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Join(dir, "anchor"): 0o600} {
		if info := must(os.Stat(path)); info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

// What it says of itself leaves no hope.
func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	check(t, software.Prepare(dir, secret("s")))
	for _, a := range []anchor.Anchor{must(software.Open(t.TempDir())), must(software.OpenDevice(dir))} {
		if d := a.Describe(); !d.Insecure || !strings.HasPrefix(d.Protects, "nothing") {
			t.Errorf("%+v", d)
		}
	}
}

// A device that was not made is not there; one that is there is not made again.
func TestDeviceAbsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "device")
	if _, err := software.OpenDevice(dir); !errors.Is(err, anchor.ErrAbsent) {
		t.Errorf("opened nothing: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("opening nothing left a folder")
	}
	check(t, software.Prepare(dir, secret("one")))
	if err := software.Prepare(dir, secret("two")); !errors.Is(err, anchor.ErrFounded) {
		t.Errorf("prepared twice: %v", err)
	}
	d := must(software.OpenDevice(dir))
	defer d.Close()
	if _, err := d.MakeFleetKey(t.Context(), secret("two")); !errors.Is(err, anchor.ErrCustodian) {
		t.Errorf("the second custodian is let in: %v", err)
	}
}

// Files of another form are no device.
func TestDeviceMangled(t *testing.T) {
	dir := t.TempDir()
	check(t, software.Prepare(dir, secret("one")))
	path := filepath.Join(dir, "device")
	whole := must(os.ReadFile(path))
	for n := range len(whole) + 1 {
		bad := append(bytes.Clone(whole[:n]), 'x')
		check(t, os.WriteFile(path, bad, 0o600))
		if d, err := software.OpenDevice(dir); err == nil && n != len(whole)-1 {
			t.Errorf("opened with %d bytes of its file", n)
		} else if err == nil {
			d.Close()
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add(must(os.ReadFile(filepath.Join(foundedForFuzz(f), "anchor"))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, slot, err := software.Choose(data)
		if err != nil {
			return
		}
		if again := r.Encode(); !bytes.Equal(again, data[4096*slot:][:len(again)]) {
			t.Error("encoded to other bytes")
		}
	})
}

func foundedForFuzz(f *testing.F) string {
	dir := f.TempDir()
	a := must(software.Open(dir))
	defer a.Close()
	if err := a.Found(context.Background(), state(1), keyOf(1)); err != nil {
		f.Fatal(err)
	}
	return dir
}
