package tpm_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
)

var owner = []byte("custodian's own 32-byte password")

// A folder that is put back, by however little, is refused.
func TestFolderPutBack(t *testing.T) {
	b := founded(t)
	b.putBack(t, "the folder was put back")
	o := orderly(t)
	o.putBack(t, "join as a new member")
}

// putBack takes images of the folder and puts each back.
func (b *box) putBack(t *testing.T, text string) {
	t.Helper()
	var images []string
	for n := uint64(4); n < 7; n++ {
		images = append(images, image(t, b.options.Dir))
		b.advance(n)
	}
	now := image(t, b.options.Dir)
	for _, old := range images {
		put(t, old, b.options.Dir)
		b.refuses(anchor.ErrForeign, text)
	}
	put(t, now, b.options.Dir)
	b.at(6, 0xa1)
}

// Of two states that were prepared for one count only the one counts that the chip has
// counted: not the other, which a process had prepared when it died, also not after the
// machine was started anew and an orderly chain with it.
func TestPreparedTwice(t *testing.T) {
	for name, b := range map[string]*box{"plain": founded(t), "orderly": orderly(t)} {
		armed := false
		d := b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
			if armed {
				return nil, errCut
			}
			return chip.Send(command)
		}).open()
		armed = true
		if err := d.Advance(t.Context(), anchor.State{Counter: 4, Head: [32]byte{0xff}}); !errors.Is(err, errCut) {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, d.Close())
		first := image(t, b.options.Dir)
		b.advance(4)
		second := image(t, b.options.Dir)
		for range 2 {
			put(t, first, b.options.Dir)
			b.refuses(anchor.ErrForeign, "")
			check(t, b.chip.Stop())
			b.power()
		}
		put(t, second, b.options.Dir)
		b.at(4, 0xa1)
	}
}

// Two copies of a machine that run at once at one chip do not both get on: what one has
// counted the other cannot count otherwise.
func TestTwoCopiesAtOneChip(t *testing.T) {
	b := founded(t)
	b.options.Path = share(t, b.options.Path)
	copied := *b
	copied.options.Dir = image(t, b.options.Dir)
	one, two := b.open(), copied.open()
	defer two.Close()
	defer one.Close()
	check(t, one.Advance(t.Context(), state(4)))
	for range 2 {
		if err := two.Advance(t.Context(), anchor.State{Counter: 4, Head: [32]byte{0xff}}); !errors.Is(err, anchor.ErrForeign) {
			t.Errorf("counted otherwise: %v", err)
		}
	}
	if err := one.Advance(t.Context(), state(5)); !errors.Is(err, anchor.ErrForeign) {
		t.Errorf("counted after another: %v", err)
	}
}

// share is a path at which several may use the chip, as the kernel's resource manager has it.
func share(t *testing.T, path string) string {
	t.Helper()
	shared := filepath.Join(t.TempDir(), "tpmrm")
	chip, err := net.Dial("unix", path)
	check(t, err)
	listener, err := net.Listen("unix", shared)
	check(t, err)
	t.Cleanup(func() { listener.Close(); chip.Close() })
	var mu sync.Mutex
	serve := func(conn net.Conn) {
		defer conn.Close()
		for {
			command, err := message(conn)
			if err != nil {
				return
			}
			mu.Lock()
			_, err = chip.Write(command)
			var response []byte
			if err == nil {
				response, err = message(chip)
			}
			mu.Unlock()
			if _, wrong := conn.Write(response); err != nil || wrong != nil {
				return
			}
		}
	}
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			go serve(conn)
		}
	}()
	return shared
}

// message is a command or a response.
func message(r io.Reader) ([]byte, error) {
	header := make([]byte, 10)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(header[2:])-10)
	_, err := io.ReadFull(r, rest)
	return append(header, rest...), err
}

// The folder alone, at another chip, is nothing: one that nobody prepared, one that is
// somebody else's.
func TestClonedMachine(t *testing.T) {
	b := founded(t)
	for _, other := range []*box{newBox(t), founded(t)} {
		put(t, b.options.Dir, other.options.Dir)
		other.refuses(anchor.ErrForeign, "another one")
	}
	b.at(3, 0xa1)
}

// A software chip can be copied, and put back together with the folder. Nothing in the
// world sees that. A real chip cannot be: this is what the machine's operator pays for.
func TestCannotSeeAChipPutBackWithItsFolder(t *testing.T) {
	b := founded(t)
	check(t, b.chip.Stop())
	chip, folder := image(t, b.memory), image(t, b.options.Dir)
	b.power()
	b.advance(9)
	check(t, b.chip.Kill())
	put(t, chip, b.memory)
	put(t, folder, b.options.Dir)
	b.power()
	b.at(3, 0xa1)
}

// Put back alone it is seen, but for the last step: that looks as if the process had
// died in it.
func TestCannotSeeAChipPutBackByOneStep(t *testing.T) {
	b := founded(t)
	var images []string
	for n := uint64(4); n < 7; n++ {
		check(t, b.chip.Stop())
		images = append(images, image(t, b.memory))
		b.power()
		b.advance(n)
	}
	for i, chip := range images {
		check(t, b.chip.Kill())
		put(t, chip, b.memory)
		b.power()
		if i == len(images)-1 {
			b.at(5, 0xa1)
		} else {
			b.refuses(anchor.ErrForeign, "it was put back")
		}
	}
}

// Deleting an index and making it anew helps nobody, the chip's owner neither: a counter
// that is made anew starts higher, and a chain that is extended again by the same values
// lacks its counters.
func TestRemadeIndex(t *testing.T) {
	for _, which := range [][]int{{tpm.Steps}, {tpm.Rotates}, {tpm.Chain}, {tpm.Steps, tpm.Chain}, {tpm.Steps, tpm.Rotates, tpm.Chain}} {
		b := prepared(t)
		b.with(func(d *tpm.Device) {
			check(t, d.Found(context.Background(), state(1), keyOf(0xa0)))
			check(t, d.Advance(context.Background(), state(2)))
		})
		old := image(t, b.options.Dir) // with all steps that the chain has
		b.advance(4)
		b.with(func(d *tpm.Device) {
			for _, i := range which {
				check(t, tpm.NewThief(d, owner).Remake(i, old))
			}
		})
		b.refuses(anchor.ErrForeign, "made anew")
		put(t, old, b.options.Dir)
		b.refuses(anchor.ErrForeign, "")
	}
}

func TestDeletedIndex(t *testing.T) {
	for _, which := range []int{tpm.Steps, tpm.Rotates, tpm.Chain} {
		b := founded(t)
		d := b.open()
		check(t, tpm.NewThief(d, owner).Delete(which))
		if err := d.Rotate(t.Context(), state(4), keyOf(4)); err == nil && which != tpm.Steps {
			t.Errorf("index %d deleted, and a step taken", which)
		}
		check(t, d.Close())
		b.refuses(anchor.ErrForeign, "was deleted")
	}
}

// A chip that was cleared, as who stands before the machine can do it.
func TestCleared(t *testing.T) {
	b := founded(t)
	d := b.open()
	check(t, tpm.NewThief(d, owner).Clear())
	if err := d.Advance(context.Background(), state(4)); err == nil {
		t.Error("a cleared chip counts")
	}
	_ = d.Close()
	b.refuses(anchor.ErrForeign, "cleared")
	// The chip is like new, and takes a new machine into the old folder.
	b.options.Replace = true
	check(t, tpm.Prepare(context.Background(), b.options, custodian))
	b.with(func(d *tpm.Device) { check(t, d.Found(context.Background(), state(1), keyOf(1))) })
}

// Who has the owner's password, but not the folder's, can delete an index and make one of
// the same kind, which the folder's password does not read.
func TestIndexOfAnotherPassword(t *testing.T) {
	b := founded(t)
	b.with(func(d *tpm.Device) {
		thief := tpm.NewThief(d, owner)
		clear(thief.Auth())
		check(t, thief.Remake(tpm.Steps, ""))
	})
	b.refuses(anchor.ErrForeign, "made anew")
}

// After Rotate the chip opens the old epoch key for nobody: not with an old folder, and
// not when the owner makes the counter anew.
func TestOldEpochKeyIsGone(t *testing.T) {
	b := prepared(t)
	b.with(func(d *tpm.Device) {
		check(t, d.Found(context.Background(), state(1), keyOf(0xa0)))
		check(t, d.Advance(context.Background(), state(2)))
	})
	old := image(t, b.options.Dir)
	b.with(func(d *tpm.Device) {
		thief := tpm.NewThief(d, owner)
		if n := thief.Keys(old); n != 2 {
			t.Errorf("before: %d of both slots' keys; this test cannot open any", n)
		}
		check(t, d.Rotate(context.Background(), state(3), keyOf(0xa1)))
		if n := thief.Keys(old); n != 0 {
			t.Errorf("%d old keys open after Rotate", n)
		}
		if n := thief.Keys(b.options.Dir); n != 1 {
			t.Errorf("%d of the folder's keys open, want the new one", n)
		}
		check(t, thief.Remake(tpm.Rotates, ""))
		if n := thief.Keys(old); n != 0 {
			t.Errorf("%d old keys open with a counter that was made anew", n)
		}
	})
}

// What is prepared anew in the same chip does not open what was sealed before.
func TestPreparedAnew(t *testing.T) {
	b := founded(t)
	if err := tpm.Prepare(t.Context(), b.options, custodian); !errors.Is(err, anchor.ErrFounded) {
		t.Errorf("prepared twice: %v", err)
	}
	old := image(t, b.options.Dir)
	other := b.options
	other.Dir = filepath.Join(t.TempDir(), "other")
	if err := tpm.Prepare(t.Context(), other, custodian); !errors.Is(err, anchor.ErrFounded) {
		t.Errorf("prepared twice, in another folder: %v", err)
	}
	b.at(3, 0xa1)
	var sealed []byte
	b.with(func(d *tpm.Device) { sealed = must(d.Seal(t.Context(), "label", []byte("secret"))) })
	b.options.Replace = true
	check(t, tpm.Prepare(t.Context(), b.options, custodian))
	b.with(func(d *tpm.Device) {
		if _, _, err := d.Read(t.Context()); !errors.Is(err, anchor.ErrEmpty) {
			t.Errorf("prepared anew, and %v", err)
		}
		if _, err := d.Open(t.Context(), "label", sealed); !errors.Is(err, anchor.ErrBox) {
			t.Errorf("an old box: %v", err)
		}
	})
	put(t, old, b.options.Dir)
	b.refuses(anchor.ErrForeign, "prepared anew")
}

// Root on a machine of the fleet, without the custodian's secret, has no copy of the fleet
// key; nobody has one of the machine's own key.
func TestCopyingKeys(t *testing.T) {
	b := prepared(t)
	b.with(func(d *tpm.Device) {
		must(d.MakeFleetKey(t.Context(), custodian))
		thief := tpm.NewThief(d, nil)
		for _, fleet := range []bool{true, false} {
			refusals := thief.Copy(fleet)
			if len(refusals) != 4 {
				t.Fatalf("%d ways were tried", len(refusals))
			}
			for way, err := range refusals {
				var code tpm2.TPMRC
				if !errors.As(err, &code) {
					t.Errorf("fleet key %v, way %d: the chip says %v", fleet, way, err)
				}
			}
		}
	})
}

// A wrong password is tried once, with the right one after it.
func TestWrongCustodian(t *testing.T) {
	wrong := must(anchor.NewSecret([]byte("not the custodian's at all")))
	b := founded(t)
	tries := 0
	with := b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
		switch commandCode(command) {
		case tpm2.TPMCCPolicySecret, tpm2.TPMCCHierarchyChanegAuth, tpm2.TPMCCNVUndefineSpace, tpm2.TPMCCCreatePrimary, tpm2.TPMCCEvictControl:
			tries++
		}
		return chip.Send(command)
	})
	with.with(func(d *tpm.Device) {
		if _, err := d.MakeFleetKey(t.Context(), wrong); !errors.Is(err, anchor.ErrCustodian) || tries != 1 {
			t.Errorf("%d tries: %v", tries, err)
		}
		if n := must(tpm.NewThief(d, nil).WrongTries()); n != 0 {
			t.Errorf("the chip has counted %d", n)
		}
		must(d.MakeFleetKey(t.Context(), custodian))
	})
	tries = 0
	with.options.Replace = true
	// One CreatePrimary is for the session, and needs no password.
	if err := tpm.Prepare(t.Context(), with.options, wrong); !errors.Is(err, anchor.ErrCustodian) || tries != 2 {
		t.Errorf("%d tries: %v", tries-1, err)
	}
	b.at(3, 0xa1) // nothing was deleted
}

// A chip that is locked after wrong passwords goes on working, and says so when it is prepared.
func TestLockedOut(t *testing.T) {
	b := newBox(t)
	wrong := func(command []byte, chip transportTPM) ([]byte, error) {
		if commandCode(command) != tpm2.TPMCCHierarchyChanegAuth {
			return chip.Send(command)
		}
		_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth([]byte("wrong"))}}.Execute(chip)
		if err == nil {
			t.Error("cleared with a wrong password")
		}
		return chip.Send(command)
	}
	if err := tpm.Prepare(t.Context(), b.interposed(wrong).options, custodian); !errors.Is(err, anchor.ErrLocked) {
		t.Errorf("got %v", err)
	}
	f := founded(t)
	f.with(func(d *tpm.Device) {
		thief := tpm.NewThief(d, []byte("wrong"))
		check(t, thief.LockOut())
		if err := thief.Clear(); err == nil {
			t.Error("cleared with a wrong password")
		}
		check(t, d.Advance(t.Context(), state(4)))
		check(t, d.Rotate(t.Context(), state(5), keyOf(5)))
		must(d.Open(t.Context(), "label", must(d.Seal(t.Context(), "label", nil))))
		must(must(d.Exchanger(t.Context())).ECDH(must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()))
		must(d.MakeFleetKey(t.Context(), custodian))
		evaluates(t, d)
	})
	f.at(5, 5)
}

func TestPCRs(t *testing.T) {
	const debug = 16 // one that may be changed at will
	b := newBox(t)
	b.options.PCRs = []int{7, debug, 0}
	check(t, tpm.Prepare(t.Context(), b.options, custodian))
	var sealed []byte
	b.with(func(d *tpm.Device) {
		check(t, d.Found(t.Context(), state(1), keyOf(1)))
		sealed = must(d.Seal(t.Context(), "label", []byte("secret")))
		check(t, tpm.NewThief(d, nil).Boot(debug))
	})
	b.with(func(d *tpm.Device) {
		if _, _, err := d.Read(t.Context()); !errors.Is(err, tpm2.TPMRCPolicyFail) {
			t.Errorf("the epoch key, started otherwise: %v", err)
		}
		if _, err := d.Open(t.Context(), "label", sealed); !errors.Is(err, tpm2.TPMRCPolicyFail) || errors.Is(err, anchor.ErrBox) {
			t.Errorf("a box, started otherwise: %v", err)
		}
	})
	check(t, b.chip.Kill()) // and started as before
	b.power()
	b.at(1, 1)
	b.with(func(d *tpm.Device) { must(d.Open(t.Context(), "label", sealed)) })
	b.options.PCRs = []int{24}
	if err := tpm.Prepare(t.Context(), b.options, custodian); err == nil {
		t.Error("prepared with a PCR that there is not")
	}
}

// The machine's keys are made again as little as copied: each Prepare has others.
func TestExchangersDiffer(t *testing.T) {
	b := prepared(t)
	var first ecdh.KeyExchanger
	b.with(func(d *tpm.Device) { first = must(d.Exchanger(t.Context())) })
	b.options.Replace = true
	check(t, tpm.Prepare(t.Context(), b.options, custodian))
	b.with(func(d *tpm.Device) {
		if must(d.Exchanger(t.Context())).PublicKey().Equal(first.PublicKey()) {
			t.Error("the same key")
		}
	})
	if _, err := first.ECDH(must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()); err == nil {
		t.Error("a closed device's key works")
	}
	if _, err := first.ECDH(must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()); !errors.Is(err, anchor.ErrPoint) {
		t.Errorf("a key of another curve: %v", err)
	}
}
