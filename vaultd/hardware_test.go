package vaultd_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
	"keepsake.example/anchor/software"
	"keepsake.example/anchor/tpm"
	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/vaultd"
)

// hardware is one machine's device, played by files: those that would be in the chip or the
// token, and those that are on the machine's disk.
type hardware struct {
	name string
	open func() (anchor.Device, error)
	// inside is the folder of the device's own memory, which nobody can put back if it is
	// not played; disk is the folder of what it keeps on the machine's disk, or "".
	inside, disk string
	// off and on are the device's power, for changing what is inside.
	off, on   func()
	custodian *anchor.Secret
}

// kinds are the devices there are, made new in a folder.
var kinds = map[string]func(t testing.TB, dir string) *hardware{
	"software": playSoftware, "tpm": playTPM, "pkcs11": playToken,
}

func custodian(t testing.TB) *anchor.Secret {
	s, err := anchor.NewSecret([]byte("the custodian of the tests"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func okay(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func playSoftware(t testing.TB, dir string) *hardware {
	inside := filepath.Join(dir, "inside")
	okay(t, software.Prepare(inside, custodian(t)))
	none := func() {}
	return &hardware{name: "software", custodian: custodian(t), inside: inside, off: none, on: none, open: func() (anchor.Device, error) {
		d, err := software.OpenDevice(inside)
		if err != nil {
			return nil, err
		}
		return d, nil
	}}
}

func playTPM(t testing.TB, dir string) *hardware {
	h := &hardware{name: "tpm", custodian: custodian(t), inside: filepath.Join(dir, "inside"), disk: filepath.Join(dir, "disk")}
	okay(t, os.MkdirAll(h.inside, 0o700))
	var chip *swtpm.Chip
	h.on = func() { chip = must(swtpm.Start(h.inside)) }
	h.off = func() { okay(t, chip.Stop()) }
	h.on()
	t.Cleanup(func() { chip.Kill() })
	okay(t, tpm.Prepare(t.Context(), tpm.Options{Path: chip.Path(), Dir: h.disk}, custodian(t)))
	h.open = func() (anchor.Device, error) {
		d, err := tpm.Open(context.Background(), tpm.Options{Path: chip.Path(), Dir: h.disk})
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	return h
}

// playToken makes a token in a store of its own: one store at a time, so the machines of one test
// that are to have tokens of their own get them by tokenBeside.
func playToken(t testing.TB, dir string) *hardware {
	store := must(softhsm.New(filepath.Join(dir, "inside")))
	return tokenIn(t, store, filepath.Join(dir, "inside"), "vault")
}

func tokenIn(t testing.TB, store *softhsm.Store, inside, label string) *hardware {
	o := must(store.Token(t.Context(), label))
	okay(t, pkcs11.Prepare(t.Context(), o, store.Custodian()))
	none := func() {}
	return &hardware{name: "pkcs11", custodian: store.Custodian(), inside: inside, off: none, on: none, open: func() (anchor.Device, error) { return pkcs11.Open(context.Background(), o) }}
}

// metal is a vault of one machine on a device.
type metal struct {
	*world
	hardware *hardware
	device   *hooked
	ledger   *ledger.Ledger
}

// hooked is a device whose steps a test looks at, or stops.
type hooked struct {
	anchor.Device
	before, after func() error // the error of before prevents the step; that of after is what the caller hears
}

func (h *hooked) step(f func() error) error {
	if h.before != nil {
		if err := h.before(); err != nil {
			return err
		}
	}
	if err := f(); err != nil || h.after == nil {
		return err
	}
	return h.after()
}

func (h *hooked) Advance(ctx context.Context, s anchor.State) error {
	return h.step(func() error { return h.Device.Advance(ctx, s) })
}

func (h *hooked) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return h.step(func() error { return h.Device.Rotate(ctx, s, k) })
}

// counts is the root's anchor with all that is under it.
type counts struct {
	anchor.Anchor
	close func() error
}

func (c *counts) Close() error { return errors.Join(c.Anchor.Close(), c.close()) }

// newMachine founds a fleet of one machine on a device, and serves it.
func newMachine(t testing.TB, kind string, change ...func(*vaultd.Config)) *metal {
	t.Helper()
	return newMachineOf(t, kind, 1, change...)
}

// newMachineOf is newMachine with so many groups.
func newMachineOf(t testing.TB, kind string, groups uint32, change ...func(*vaultd.Config)) *metal {
	t.Helper()
	dir := t.TempDir()
	m := &metal{world: bareWorld(t, dir), hardware: kinds[kind](t, filepath.Join(dir, "device"))}
	okay(t, m.attach())
	id, _, err := vaultd.Found(t.Context(), vaultd.Founding{
		Dir: m.state(), Anchor: m.anchor, Device: m.device, Policy: testPolicy(), Clock: m.clock, Groups: groups, GroupAnchor: m.config.GroupAnchor,
	})
	okay(t, err)
	m.fleet = id
	for _, f := range change {
		f(&m.config)
	}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *metal) ledgerDir() string { return filepath.Join(m.dir, "ledger") }

// attach opens the device and the ledger.
func (m *metal) attach() error {
	d, err := m.hardware.open()
	if err != nil {
		return err
	}
	h := &hooked{Device: d}
	l, err := ledger.Open(context.Background(), h, m.ledgerDir())
	if err != nil {
		return errors.Join(err, d.Close())
	}
	m.device, m.ledger = h, l
	m.anchor = &counts{l.Group(0), func() error { return errors.Join(l.Close(), d.Close()) }}
	m.config.Anchor, m.config.Device = m.anchor, h
	m.config.GroupAnchor = func(number uint32) (anchor.Anchor, error) { return l.Group(number), nil }
	return nil
}

// up starts the machine again.
func (m *metal) up() {
	m.t.Helper()
	okay(m.t, m.attach())
	m.start()
}

// refuses checks that the machine does not start, and returns why.
func (m *metal) refuses(what string) error {
	m.t.Helper()
	err := m.attach()
	if err == nil {
		var s *vaultd.Server
		if s, err = vaultd.New(m.t.Context(), m.config); err == nil {
			okay(m.t, s.Close())
		}
		okay(m.t, m.anchor.Close())
	}
	if err == nil {
		m.t.Errorf("%s: the machine serves", what)
	}
	return err
}

// died ends what halted.
func (m *metal) died() {
	m.stopped()
	m.server.Close() // says why it halted
	okay(m.t, m.anchor.Close())
	m.stopped = nil
}

// image is what some folders hold, by name.
type image map[string][]byte

func imageOf(t testing.TB, dirs ...string) image {
	t.Helper()
	all := image{}
	for _, dir := range dirs {
		okay(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted while we looked
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			all[path] = data
			return err
		}))
	}
	return all
}

// disks are the folders of the machine's disk.
func (m *metal) disks() []string {
	dirs := []string{m.state(), m.ledgerDir()}
	if m.hardware.disk != "" {
		dirs = append(dirs, m.hardware.disk)
	}
	return dirs
}

// putBack makes folders what an image says, and nothing else.
func (i image) putBack(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		for path := range imageOf(t, dir) {
			okay(t, os.Remove(path))
		}
		for path, data := range i {
			if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
				okay(t, os.MkdirAll(filepath.Dir(path), 0o700))
				okay(t, os.WriteFile(path, data, 0o600))
			}
		}
	}
}

// bareWorld is a world without a vault.
func bareWorld(t testing.TB, dir string) *world {
	w := &world{t: t, dir: dir, clock: newClock(), signer: newSigner(), log: new(bytes.Buffer)}
	w.config = vaultd.Config{
		Dir: w.state(), Tokens: verifier(t, w.signer), Limits: vaultd.DefaultLimits(), AcceptInsecureAnchor: true, Clock: w.clock,
		Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: w.log}, nil)),
	}
	return w
}
