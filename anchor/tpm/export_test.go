package tpm

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"keepsake.example/internal/wire"
)

// Wrapped is o with something between the adapter and the chip.
func (o Options) Wrapped(wrap func(transport.TPM) transport.TPM) Options {
	o.wrap = wrap
	return o
}

// Limited is o with another limit of the time that an answer takes.
func (o Options) Limited(limit time.Duration) Options {
	o.limit = limit
	return o
}

// What the tests decode, and how much.
const (
	SlotPitch = slotPitch
	StateName = stateName
)

// Decoders read one form each and write it again.
var Decoders = map[string]func([]byte) ([]byte, error){
	"machine": func(b []byte) ([]byte, error) {
		m, err := decodeMachine(b)
		if err != nil {
			return nil, err
		}
		return m.encode(), nil
	},
	"slot": func(b []byte) ([]byte, error) {
		s, err := decodeSlot(nil, b)
		if err != nil {
			return nil, err
		}
		return s.encode(nil), nil
	},
	"box": func(b []byte) ([]byte, error) {
		o, sealed, err := decodeBox(b)
		if err != nil {
			return nil, err
		}
		w := wire.Append(nil)
		w.Constant(boxMagic)
		o.layout(w)
		return append(w.Written(), sealed...), nil
	},
	"fleet key": func(b []byte) ([]byte, error) {
		o, err := decodeFleet(b)
		if err != nil {
			return nil, err
		}
		w := wire.Append(nil)
		w.Constant(fleetMagic)
		o.layout(w)
		return w.Written(), nil
	},
	"wrapped key": func(b []byte) ([]byte, error) {
		p, err := decodeParcel(b)
		if err != nil {
			return nil, err
		}
		w := wire.Append(nil)
		p.layout(w)
		return w.Written(), nil
	},
	"request": func(b []byte) ([]byte, error) {
		public, err := decodeRequest(b)
		if err != nil {
			return nil, err
		}
		w := wire.Append(nil)
		w.Constant(requestMagic)
		area := tpm2.Marshal(public)
		w.Counted(&area, 1, maxPublic)
		return w.Written(), nil
	},
}

// A Thief has root on the machine, and with it the folder and what is loaded in d; and
// where owner is given, the custodian's secret.
type Thief struct {
	d     *Device
	owner []byte
}

func NewThief(d *Device, owner []byte) *Thief { return &Thief{d, owner} }

// Counters and the chain.
const (
	Steps = iota
	Rotates
	Chain
)

// Remake deletes an index and makes it anew with the same password; then it extends a
// chain by what the slots of the folder old were, up to the newest of them.
func (h *Thief) Remake(which int, old string) error {
	if err := h.Delete(which); err != nil {
		return err
	}
	c, i := h.d.chip, h.d.indices.all()[which]
	if err := c.define(i, c.asOwner(h.owner, encrypted), c.auth); err != nil {
		return err
	}
	if which != Chain {
		return nil
	}
	for _, s := range slotsOf(old) {
		if err := c.extend(i, s.link()); err != nil {
			return err
		}
	}
	return nil
}

// slotsOf are a folder's slots, the older first.
func slotsOf(dir string) (all []*slot) {
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return nil
	}
	for _, at := range []int{0, slotPitch} {
		if s, err := decodeSlot(nil, data[at:][:slotPitch]); err == nil {
			all = append(all, &s)
		}
	}
	slices.SortFunc(all, func(a, b *slot) int { return cmp.Compare(a.state.Counter, b.state.Counter) })
	return all
}

// Keys tries to unseal the epoch keys that are in a folder, under each condition that
// they may have been sealed under, and says how many it got.
func (h *Thief) Keys(dir string) (n int) {
	for _, s := range slotsOf(dir) {
		for _, at := range []uint64{s.rotated - 1, s.rotated, s.rotated + 1} {
			changed := *s
			changed.rotated = at
			if k, err := h.d.unsealKey(&changed); err == nil {
				k.Wipe()
				n++
				break
			}
		}
	}
	return n
}

// Copy tries to duplicate a key without the custodian's secret, in the ways there are,
// and says what the chip said.
func (h *Thief) Copy(fleet bool) (refusals []error) {
	c, o := h.d.chip, h.d.machine.exchange
	if fleet {
		k, err := h.d.fleetKey()
		if err != nil {
			return nil
		}
		o = k.object
	}
	duplicate := func(key tpm2.NamedHandle, auth tpm2.Session) error {
		_, err := tpm2.Duplicate{
			ObjectHandle: tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: auth}, NewParentHandle: tpm2.TPMRHNull,
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
		}.Execute(c)
		return err
	}
	_ = c.loaded(o, func(key tpm2.NamedHandle) error {
		refusals = append(refusals, duplicate(key, c.session.with(c.auth, plain)), duplicate(key, tpm2.PasswordAuth(c.auth)))
		session, flush, err := c.policy()
		if err != nil {
			return err
		}
		defer flush()
		refusals = append(refusals, duplicate(key, session))
		if _, err := (tpm2.PolicyCommandCode{PolicySession: session.Handle(), Code: tpm2.TPMCCDuplicate}).Execute(c); err != nil {
			return err
		}
		refusals = append(refusals, duplicate(key, session))
		return nil
	})
	return refusals
}

// LoseSession takes the session from the adapter.
func (h *Thief) LoseSession() error { return h.d.chip.flush(h.d.chip.session.handle) }

// LoseFleetKey takes the loaded fleet key from it.
func (h *Thief) LoseFleetKey() error { return h.d.chip.flush(h.d.fleet.Handle) }

// WrongTries is how many wrong passwords the chip has counted.
func (h *Thief) WrongTries() (uint32, error) { return h.d.chip.property(tpm2.TPMPTLockoutCounter) }

// LockOut makes the chip count wrong passwords, of an object that is not ours, until it
// takes none any more.
func (h *Thief) LockOut() error {
	c := h.d.chip
	template := sealedTemplate(tpm2.TPM2BDigest{})
	template.ObjectAttributes.NoDA = false
	answer, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}, Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: []byte("data")}),
		}},
	}.Execute(c)
	if err != nil {
		return err
	}
	defer c.flush(answer.ObjectHandle)
	for range 100 {
		_, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: answer.ObjectHandle, Name: answer.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))}}.Execute(c)
		if errors.Is(err, tpm2.TPMRCLockout) {
			return nil
		}
	}
	return errors.New("a hundred wrong passwords, and not locked")
}

// Delete deletes an index.
func (h *Thief) Delete(which int) error {
	c, i := h.d.chip, h.d.indices.all()[which]
	_, err := tpm2.NVUndefineSpace{AuthHandle: c.asOwner(h.owner, plain), NVIndex: i.named()}.Execute(c)
	return custodians(err)
}

// Clear is TPM2_Clear.
func (h *Thief) Clear() error {
	c := h.d.chip
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(h.owner)}}.Execute(c)
	return err
}

// Boot changes a PCR as another system that is started would.
func (h *Thief) Boot(pcr int) error {
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
	}.Execute(h.d.chip)
	return err
}

// Auth is the password of the machine's keys and indices.
func (h *Thief) Auth() []byte { return h.d.machine.auth[:] }
