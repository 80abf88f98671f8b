package tpm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

// Read implements [anchor.Anchor].
func (d *Device) Read(ctx context.Context) (anchor.State, *anchor.Key, error) {
	if err := d.begin(ctx); err != nil {
		return anchor.State{}, nil, err
	}
	defer d.end()
	if d.now == nil {
		return anchor.State{}, nil, anchor.ErrEmpty
	}
	var key *anchor.Key
	err := d.chip.again(func() (err error) {
		key, err = d.unsealKey(d.now)
		return err
	})
	if err != nil {
		return anchor.State{}, nil, fmt.Errorf("tpm: unsealing the epoch key: %w", err)
	}
	return d.now.state, key, nil
}

// Found implements [anchor.Anchor].
func (d *Device) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if d.now != nil {
		return anchor.ErrFounded
	}
	err := d.makeState()
	if err == nil {
		err = d.step(d.machine.fresh, advances, s, k)
	}
	if err != nil {
		return d.breaks(fmt.Errorf("tpm: founding: %w", err))
	}
	return nil
}

// makeState makes the file of states, which a Found that a crash ended may have left.
func (d *Device) makeState() error {
	if d.state != nil {
		return nil
	}
	if err := d.folder.create(stateName, make([]byte, stateSize)); err != nil {
		return err
	}
	_, err := d.readState()
	return err
}

// Advance implements [anchor.Anchor].
func (d *Device) Advance(ctx context.Context, s anchor.State) error {
	return d.next(ctx, advances, s, nil)
}

// Rotate implements [anchor.Anchor].
func (d *Device) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return d.next(ctx, rotates, s, k)
}

func (d *Device) next(ctx context.Context, kind step, s anchor.State, k *anchor.Key) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if d.now == nil {
		return anchor.ErrEmpty
	}
	if s.Counter != d.now.state.Counter+1 {
		return anchor.ErrStale
	}
	if err := d.step(d.now.standing(), kind, s, k); err != nil {
		return d.breaks(fmt.Errorf("tpm: counting to %d: %w", s.Counter, err))
	}
	return nil
}

// step takes the machine from where the chip stands to s, in this order:
//
//  1. the slot to come is made durable, with its epoch key sealed to the counter to come;
//  2. the chain is extended with it. From here on no other state can follow;
//  3. the counter is incremented. From here on the one before is past: where it is that
//     of rotations, the chip never again opens the old epoch key, for anybody;
//  4. the chain is read back: see [Device.alone].
//
// A crash before 2 leaves the old state, one after 2 is finished by the next Open.
func (d *Device) step(from standing, kind step, s anchor.State, k *anchor.Key) error {
	next := &slot{step: kind, state: s, before: from.chain, steps: from.steps, rotated: from.rotated}
	if kind == rotates {
		next.rotated++
	} else {
		next.steps++
	}
	if err := d.giveKey(next, k); err != nil {
		return err
	}
	at := 1 - d.at
	if _, err := d.state.WriteAt(next.encode(d.sum), int64(at)*slotPitch); err != nil {
		return err
	}
	if err := durable.SyncData(d.state); err != nil {
		return err
	}
	err := d.chip.again(func() error { return d.chip.extend(d.indices.chain, next.link()) })
	if err == nil {
		err = d.count(next)
	}
	if err == nil {
		err = d.alone(next)
	}
	if err == nil {
		d.now, d.at = next, at
	}
	return err
}

// alone checks that the chip went from the present state to this one, and not by way of
// somebody else's: two copies of a machine that run at the same chip at the same time,
// each with a folder of its own, would each take its steps otherwise, and tell people of
// them. Of two that try one finds out before it tells anybody.
func (d *Device) alone(s *slot) error {
	var chain []byte
	err := d.chip.again(func() (err error) {
		chain, err = d.chip.read(d.indices.chain)
		return err
	})
	if err != nil {
		return err
	}
	if [sha256.Size]byte(chain) != s.after() {
		return foreign("somebody else counts with it, or a copy of this machine: it cannot be used any more")
	}
	return nil
}

// count takes the second half of a step.
func (d *Device) count(s *slot) error {
	i := d.indices.steps
	if s.step == rotates {
		i = d.indices.rotates
	}
	return d.chip.again(func() error { return d.chip.increment(i) })
}

// giveKey seals a new epoch key for a slot, or takes over the present one.
func (d *Device) giveKey(next *slot, k *anchor.Key) error {
	if k == nil {
		next.key = d.now.key
		return nil
	}
	var err error
	k.Use(func(secret *[anchor.KeySize]byte) {
		err = d.chip.again(func() (err error) {
			next.key, err = d.seal(secret[:], d.whenRotated(next.rotated))
			return err
		})
	})
	return err
}

// whenRotated is the condition that the counter of rotations stands at n.
func (d *Device) whenRotated(n uint64) tpm2.PolicyNV {
	return tpm2.PolicyNV{
		AuthHandle: d.chip.onIndex(d.indices.rotates, encrypted), NVIndex: d.indices.rotates.named(),
		OperandB: tpm2.TPM2BOperand{Buffer: binary.BigEndian.AppendUint64(nil, n)}, Operation: tpm2.TPMEOEq,
	}
}

// seal makes an object of a secret that opens under these conditions only, and under
// those of Options.PCRs; if there are none at all, under the machine's password.
func (d *Device) seal(secret []byte, conditions ...tpm2.PolicyNV) (object, error) {
	var policy []interface {
		Update(*tpm2.PolicyCalculator) error
	}
	for _, condition := range conditions {
		policy = append(policy, condition)
	}
	if d.machine.pcrs != 0 {
		digest, err := d.readPCRs()
		if err != nil {
			return object{}, err
		}
		policy = append(policy, tpm2.PolicyPCR{PcrDigest: digest, Pcrs: pcrSelection(d.machine.pcrs)})
	}
	if len(policy) == 0 {
		return d.chip.create(sealedTemplate(tpm2.TPM2BDigest{}), d.chip.auth, secret)
	}
	digest, err := policyOf(policy...)
	if err != nil {
		return object{}, err
	}
	return d.chip.create(sealedTemplate(digest), nil, secret)
}

// readPCRs is the digest over the chosen registers as they are. A chip gives eight at a time.
func (d *Device) readPCRs() (tpm2.TPM2BDigest, error) {
	h := sha256.New()
	for n := range pcrCount {
		if d.machine.pcrs&(1<<n) == 0 {
			continue
		}
		answer, err := tpm2.PCRRead{PCRSelectionIn: pcrSelection(1 << n)}.Execute(d.chip)
		if err != nil {
			return tpm2.TPM2BDigest{}, fmt.Errorf("reading PCR %d: %w", n, err)
		}
		if len(answer.PCRValues.Digests) != 1 {
			return tpm2.TPM2BDigest{}, fmt.Errorf("the TPM has no SHA-256 bank for PCR %d", n)
		}
		h.Write(answer.PCRValues.Digests[0].Buffer)
	}
	return tpm2.TPM2BDigest{Buffer: h.Sum(nil)}, nil
}

// unseal opens an object that seal made, for the caller to wipe.
func (d *Device) unseal(o object, conditions ...tpm2.PolicyNV) (secret []byte, err error) {
	if len(conditions) == 0 && d.machine.pcrs == 0 {
		err = d.chip.loaded(o, func(h tpm2.NamedHandle) error {
			secret, err = d.chip.unseal(d.chip.on(h, d.chip.auth, answered))
			return err
		})
		return secret, err
	}
	session, flush, err := d.chip.policy()
	if err != nil {
		return nil, fmt.Errorf("starting a policy session: %w", err)
	}
	defer func() { err = errors.Join(err, flush()) }()
	for _, condition := range conditions {
		condition.PolicySession = session.Handle()
		if _, err := condition.Execute(d.chip); err != nil {
			return nil, fmt.Errorf("comparing the counter of rotations: %w", err)
		}
	}
	if d.machine.pcrs != 0 {
		if _, err := (tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: pcrSelection(d.machine.pcrs)}).Execute(d.chip); err != nil {
			return nil, fmt.Errorf("comparing PCRs: %w", err)
		}
	}
	err = d.chip.loaded(o, func(h tpm2.NamedHandle) error {
		secret, err = d.chip.unseal(tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: session})
		return err
	})
	return secret, err
}

func (c *chip) unseal(item tpm2.AuthHandle) ([]byte, error) {
	answer, err := tpm2.Unseal{ItemHandle: item}.Execute(c)
	if errors.Is(err, tpm2.TPMRCPolicyFail) {
		return nil, fmt.Errorf("the machine was started otherwise than when this was sealed (PCRs), or its counter moved on: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("unsealing: %w", err)
	}
	return answer.OutData.Buffer, nil
}

func (d *Device) unsealKey(s *slot) (*anchor.Key, error) {
	secret, err := d.unseal(s.key, d.whenRotated(s.rotated))
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	if len(secret) != anchor.KeySize {
		return nil, fmt.Errorf("a key of %d bytes", len(secret))
	}
	return anchor.KeyFromBytes([anchor.KeySize]byte(secret)), nil
}
