package vaultd_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/replica"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

var errCut = errors.New("the power goes")

// Power goes between the write of a batch and the count of the device, or between the
// count and the answer. Nobody was told; after the start the same bytes are answered, and the
// attempt was spent once.
func TestPowerGoesRoundTheCount(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			p := m.registered("alice", "right")
			left := 10
			for _, when := range []string{"before the device counts", "after it counted"} {
				g := newGuess("wrong")
				q := p.question(g.body)
				cut := func() error { return errCut }
				if m.device.before = cut; when == "after it counted" {
					m.device.before, m.device.after = nil, cut
				}
				if status, _, _ := m.post(q.bytes); status == 200 {
					t.Errorf("%s: answered", when)
				}
				<-m.server.Done()
				m.died()
				m.up()
				left--
				for range 2 { // repeated: the same answer
					if a := wants(t, m.deliver(q), vaultapi.OK); int(a.Left) != left {
						t.Errorf("%s: %d attempts left, want %d", when, a.Left, left)
					}
				}
				m.clock.advance(time.Hour)
			}
			if s := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); int(s.Left) != left {
				t.Errorf("%d attempts left, want %d", s.Left, left)
			}
		})
	}
}

// Power goes in a checkpoint, which turns the device's epoch: the machine goes on from either
// side of it.
func TestPowerGoesRoundTheTurn(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			p := m.registered("alice", "right")
			for range 2 {
				m.device.before, m.device.after = func() error { return errCut }, nil
				m.admin("POST", "/checkpoint")
				<-m.server.Done()
				m.died()
				m.up()
				m.device.after = func() error { return errCut }
				m.admin("POST", "/checkpoint")
				<-m.server.Done()
				m.died()
				m.up()
			}
			g := newGuess("right")
			if err := p.finish(g, wants(t, p.ask(g.body), vaultapi.OK)); err != nil {
				t.Error(err)
			}
		})
	}
}

// guesses makes n wrong ones, waiting as told.
func (p *person) guesses(n int) {
	for range n {
		p.w.waits(wants(p.w.t, p.ask(newGuess("wrong").body), vaultapi.OK))
	}
}

func (w *world) waits(a *vaultapi.Answer) {
	w.clock.advance(time.Duration(a.Next-min(a.Next, a.Time)) * time.Millisecond)
}

// A disk from before, whole or in parts, is refused, whatever else is as it should be.
func TestRestoredDiskIsRefused(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			p := m.registered("alice", "right")
			p.guesses(1)
			m.stop()
			old := imageOf(t, m.disks()...)
			m.up()
			p.guesses(3)
			m.stop()
			now := imageOf(t, m.disks()...)
			old.putBack(t, m.disks()...)
			m.rolledBack("the whole disk", m.refuses("the whole disk"))
			for _, dir := range m.disks() {
				now.putBack(t, m.disks()...)
				old.putBack(t, dir)
				m.rolledBack(filepath.Base(dir), m.refuses(filepath.Base(dir)))
			}
			now.putBack(t, m.disks()...)
			m.up()
			if s := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); s.Left != 6 {
				t.Errorf("%d attempts left, want 6", s.Left)
			}
		})
	}
}

// rolledBack checks that an error says what happened.
func (m *metal) rolledBack(what string, err error) {
	m.t.Helper()
	_, replicas := errors.AsType[*replica.RollbackError](err)
	if !replicas && !errors.Is(err, ledger.ErrRolledBack) && !errors.Is(err, anchor.ErrForeign) {
		m.t.Errorf("%s put back: %v", what, err)
	}
}

// The device's memory from before (a token's folder, a chip's in software) under the disk
// of now is refused: the two are of different times.
func TestRestoredDeviceIsRefused(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			p := m.registered("alice", "right")
			m.stop()
			m.hardware.off()
			old := imageOf(t, m.hardware.inside)
			m.hardware.on()
			m.up()
			p.guesses(3)
			m.stop()
			m.hardware.off()
			old.putBack(t, m.hardware.inside)
			m.hardware.on()
			m.rolledBack("the device", m.refuses("the device's memory"))
		})
	}
}

// Where the device's memory can be put back together with the disk, as with everything that
// is played by files, nothing is seen on this machine, and attempts are given again. That is
// what hardware is for; and in a fleet the other members see it (spec/replication.md §11).
func TestRestoredDeviceAndDiskAreNotSeen(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			p := m.registered("alice", "right")
			m.stop()
			m.hardware.off()
			all := append(m.disks(), m.hardware.inside)
			old := imageOf(t, all...)
			m.hardware.on()
			m.up()
			p.guesses(3)
			m.stop()
			m.hardware.off()
			old.putBack(t, all...)
			m.hardware.on()
			m.up()
			if s := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); s.Left != 10 {
				t.Errorf("%d attempts left: this adapter sees more than is said of it", s.Left)
			}
		})
	}
}

// A copy of a machine's disk beside another device is nothing: it does not open, and the other
// machine's own device is not changed by the try.
func TestClonedDiskIsRefused(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			m.registered("alice", "right")
			keys := must(vaultd.NewDeviceKeys(t.Context(), m.device))
			file := keys.Encode()
			m.stop()
			disk := m.hardware.disk
			m.hardware = kinds[kind](t, filepath.Join(t.TempDir(), "other"))
			if disk != "" { // what the chip keeps on the disk is copied too
				copied := imageOf(t, disk)
				for path, data := range copied {
					copied[filepath.Join(m.hardware.disk, filepath.Base(path))] = data
				}
				own := imageOf(t, m.hardware.disk)
				copied.putBack(t, m.hardware.disk)
				if err := m.refuses("a copy of the disk"); !errors.Is(err, anchor.ErrForeign) {
					t.Errorf("got %v", err)
				}
				own.putBack(t, m.hardware.disk)
			}
			// With a device that works and is not the one: it was never founded.
			if err := m.refuses("a copy of the disk"); !errors.Is(err, replica.ErrMissing) {
				t.Errorf("got %v", err)
			}
			okay(t, m.attach())
			defer m.anchor.Close()
			if _, err := vaultd.DecodeDeviceKeys(t.Context(), m.device, file); !errors.Is(err, anchor.ErrBox) {
				t.Errorf("the machine's keys open elsewhere: %v", err)
			}
		})
	}
}

// All groups of a machine count on its one device, and none of them goes back alone.
func TestGroupsOnOneDevice(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachineOf(t, kind, 4)
			var people []*person
			for n := range 6 {
				people = append(people, m.registered(fmt.Sprint("person ", n), "right"))
			}
			m.stop()
			one := filepath.Join(m.state(), "group-002")
			old := imageOf(t, one)
			m.up()
			for _, p := range people {
				p.guesses(1)
			}
			if r := m.admin("POST", "/checkpoint"); r.Code != 204 {
				t.Errorf("checkpoint: %d %s", r.Code, r.Body)
			}
			m.stop()
			now := imageOf(t, one)
			old.putBack(t, one)
			m.rolledBack("one group's disk", m.refuses("one group's disk"))
			now.putBack(t, one) // that alone: the root went on in the start that was refused
			m.up()
			for _, p := range people {
				if s := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); s.Left != 9 {
					t.Errorf("%d attempts left, want 9", s.Left)
				}
			}
		})
	}
}

// People are told what the machine counts on, wherever they look.
func TestAnchorIsNamed(t *testing.T) {
	m := newMachine(t, "tpm")
	for path, want := range map[string]string{
		"/metrics": `vaultd_anchor{anchor="tpm"} 1`, "/status": `"anchor":"tpm"`,
	} {
		if text := m.admin("GET", path).Body.String(); !strings.Contains(text, want) {
			t.Errorf("%s does not say %s:\n%s", path, want, text)
		}
	}
}

// Keys under a device: the same after a start, and nothing of them outside.
func TestDeviceKeys(t *testing.T) {
	m := newMachine(t, "software")
	k := must(vaultd.NewDeviceKeys(t.Context(), m.device))
	card := k.Card("a", "b", "c:1")
	if len(card.Sealing) != 1249 {
		t.Errorf("a sealing key of %d bytes", len(card.Sealing))
	}
	if back, err := vaultd.ParseCard(card.Text()); err != nil || back.Text() != card.Text() {
		t.Errorf("the card: %v", err)
	}
	file := k.Encode()
	again := must(vaultd.DecodeDeviceKeys(t.Context(), m.device, file))
	if again.Card("a", "b", "c:1").Text() != card.Text() {
		t.Error("other keys after reading them again")
	}
	if _, err := vaultd.DecodeKeys(file); err == nil {
		t.Error("read without the device")
	}
	if _, err := vaultd.DecodeDeviceKeys(t.Context(), m.device, must(vaultd.NewKeys()).Encode()); err == nil {
		t.Error("unsealed keys are read as sealed ones")
	}
	for n := range len(file) - 1 {
		if _, err := vaultd.DecodeDeviceKeys(t.Context(), m.device, file[:n]); err == nil {
			t.Fatalf("%d bytes of a file of keys", n)
		}
	}
}
