package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// # Order of steps, when a key is put behind a password
//
//	0 Harden twice, only where the fleet has a key in its hardware: nothing is kept
//	1 vault.json names the record to come, and the secrets its verifier
//	2 Propose: the vault keeps it beside the live one, where nobody can try it
//	3 Confirm: it is live, the old one is erased, in one step of the vault
//	4 vault.json names it as the live one
//
// A crash before 3 leaves the old record and password usable, one after 3 the new
// ones; the device does not know which after a crash or a lost answer between 2 and
// 4, and finds out from the vault's status with the next command (settle). K itself
// is with the device all the while.

// ProtectOptions say how to put a key behind a password.
type ProtectOptions struct {
	// TakeOver replaces a key that another device put there. It takes effect after
	// the vault's cool-down, when the same password is set once more.
	TakeOver bool
}

// Protection is what protects a key now.
type Protection struct {
	Limit    int  // wrong passwords until the key is destroyed
	Insecure bool // the fleet does not protect as it should, by its own word
	Hardened bool // each guess needs the fleet's hardware as well
}

// Protect puts k behind a password at the vault. It is for a key that no profile
// has yet; SetPassword is for the one that the profile has. A record of this
// device's that is there is replaced at once, and another's is ErrForeignRecord.
func (c *Client) Protect(ctx context.Context, a Access, k *key.Key, p *password.Password, o ProtectOptions) (done *Protection, err error) {
	err = c.vault(ctx, a, func(l *link) (err error) {
		done, err = l.protect(ctx, k, p, o)
		return err
	})
	return done, err
}

// SetPassword puts the key of the profile behind a password: in place of the password
// before, or of the digits alone. Nothing is uploaded again, and digits that the
// person has stay good.
func (c *Client) SetPassword(ctx context.Context, a Access, p *password.Password, o ProtectOptions) (done *Protection, err error) {
	err = c.change(ctx, "password", func() error {
		k, err := c.Key()
		if err != nil {
			return err
		}
		defer k.Wipe()
		done, err = c.Protect(ctx, a, k, p, o)
		return err
	})
	return done, err
}

func (l *link) protect(ctx context.Context, k *key.Key, p *password.Password, o ProtectOptions) (*Protection, error) {
	if err := l.finishProof(ctx); err != nil {
		return nil, err
	}
	live, err := l.status(ctx)
	if err != nil {
		return nil, err
	}
	if live != nil && !l.mine(live.Record) && !o.TakeOver {
		return nil, ErrForeignRecord
	}
	if err := l.registerByPolicy(ctx, live, k, p); err != nil {
		return nil, err
	}
	return &Protection{int(l.bundle.Policy.MaxAttempts), l.bundle.Policy.Insecure, l.bundle.Hardened()}, nil
}

// mine says whether a live record is one that this device put, or proved, there. If
// another device has proved the password since, the vault knows that one's key, and
// refuses this one's with unauthorised.
func (l *link) mine(record vaultapi.ID) bool { return l.st.Record == textOf(record) }

// register makes a record live, or takes up one that waits for its cool-down.
func (l *link) register(ctx context.Context, live *vaultapi.StatusReport, k *key.Key, p *password.Password) error {
	if l.resumes(live, p) {
		return l.confirm(ctx, live, idOf(l.st.Proposed.Record), [32]byte{})
	}
	reg, err := l.newRecord(ctx, k, p)
	if err != nil {
		return err
	}
	defer reg.Wipe()
	if err := l.announce(reg, p); err != nil {
		return err
	}
	a, err := l.ask(ctx, reg.Body)
	if err == nil && a.Code != vaultapi.OK {
		err = l.refusal(a)
	}
	if err != nil {
		return err
	}
	if err := l.c.step("proposed"); err != nil {
		return err
	}
	return l.confirm(ctx, live, reg.Body.Record, reg.Body.Digest())
}

// newRecord makes a record, of suite 2 where the fleet has a key in its hardware.
func (l *link) newRecord(ctx context.Context, k *key.Key, p *password.Password) (*password.Registration, error) {
	o := password.Options{Params: l.c.s.KDF, Limit: l.bundle.Policy.MaxAttempts, Device: publicOf(l.sec.authority())}
	at := l.place()
	if l.bundle.Hardened() {
		h, err := l.harden(ctx, p, at)
		if err != nil {
			return nil, err
		}
		defer h.Wipe()
		o.Hardened = h
	}
	return password.Register(rand.Reader, p, k, at, o)
}

// harden asks the fleet's hardware about the password, at no cost.
func (l *link) harden(ctx context.Context, p *password.Password, at password.Place) (*password.Hardened, error) {
	h, err := password.Harden(rand.Reader, p, at)
	if err != nil {
		return nil, err
	}
	defer h.Wipe()
	var answers [2]*vaultapi.Hardened
	for i, body := range h.Bodies() {
		a, err := l.ask(ctx, body)
		if err != nil {
			return nil, err
		}
		if a.Code != vaultapi.OK {
			return nil, l.refusal(a)
		}
		answers[i] = a.Body.(*vaultapi.Hardened)
	}
	if err := l.c.step("hardened"); err != nil {
		return nil, err
	}
	return h.Finish(answers)
}

// resumes says whether the change that waits at the vault is this device's, for this
// password: a new one would begin to wait anew.
func (l *link) resumes(live *vaultapi.StatusReport, p *password.Password) bool {
	if live == nil || l.st.Proposed == nil || live.Pending != vaultapi.PendingReplacement || textOf(live.PendingRecord) != l.st.Proposed.Record || l.st.Proposed.Ripens.IsZero() {
		return false
	}
	return matches(l.sec.next, p)
}

func matches(verifier []byte, p *password.Password) bool {
	v, err := password.DecodeVerifier(verifier)
	if err != nil {
		return false
	}
	defer v.Wipe()
	return v.Matches(p)
}

// announce writes down what is about to be proposed.
func (l *link) announce(reg *password.Registration, p *password.Password) error {
	next, err := l.newVerifier(p)
	if err != nil {
		return err
	}
	l.sec.next = next
	if err := l.c.saveSecrets(l.st, l.sec); err != nil {
		return err
	}
	l.st.Proposed = &Proposed{Record: textOf(reg.Body.Record), Time: l.now().UTC()}
	if err := l.c.writeVaultState(l.st); err != nil {
		return err
	}
	return l.c.step("announced")
}

func (l *link) newVerifier(p *password.Password) ([]byte, error) {
	v, err := password.NewVerifier(rand.Reader, p, l.c.s.KDF)
	if err != nil {
		return nil, err
	}
	defer v.Wipe()
	return v.Encode(), nil
}

// confirm makes a proposed record live: with the device key where the live one is
// this device's, else after the cool-down. A destroyed one, too, is replaced by its
// owner at once, while the vault still has its last answer: nobody else needs it.
func (l *link) confirm(ctx context.Context, live *vaultapi.StatusReport, record vaultapi.ID, proposal [32]byte) error {
	body := &vaultapi.ConfirmBody{Record: record}
	if own := idOf(l.st.Record); l.st.Record != "" && (live == nil || live.Record == own) {
		body.Authority = l.authority(vaultapi.ConfirmMessage(l.st.Server.Fleet, l.account, own, proposal))
	}
	a, err := l.ask(ctx, body)
	if errors.Is(err, ErrNotCounted) {
		return fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	if err != nil {
		return err
	}
	switch a.Code {
	case vaultapi.OK:
	case vaultapi.Wait:
		return l.waitFor(a)
	default:
		// Refused for good, as when another device has proved the password since: what
		// was proposed stays where nobody can try it, and is dropped there.
		return errors.Join(l.refusal(a), l.dropProposal())
	}
	if err := l.c.step("confirmed"); err != nil {
		return err
	}
	return l.promote()
}

func (l *link) authority(message []byte) vaultapi.Authority {
	return vaultapi.Authority{Kind: vaultapi.ByDevice, Signature: [64]byte(ed25519.Sign(l.sec.authority(), message))}
}

// waitFor keeps when a change without authority may be finished.
func (l *link) waitFor(a *vaultapi.Answer) error {
	until := l.when(a, a.Next).Round(time.Second).UTC()
	l.st.Proposed.Ripens = until
	if err := l.c.writeVaultState(l.st); err != nil {
		return err
	}
	return &ChangeWaitsError{until}
}

// promote takes the proposed record for the live one. Run twice it does the same.
func (l *link) promote() error {
	if len(l.sec.next) != 0 {
		l.sec.verifier, l.sec.next = l.sec.next, nil
		if err := l.c.saveSecrets(l.st, l.sec); err != nil {
			return err
		}
	}
	l.st.Record, l.st.Proposed, l.st.Again = l.st.Proposed.Record, nil, false
	return l.c.writeVaultState(l.st)
}

// status asks what the vault keeps, nil for nothing, and settles with it what a
// crash or a lost answer left open.
func (l *link) status(ctx context.Context) (*vaultapi.StatusReport, error) {
	a, err := l.ask(ctx, &vaultapi.StatusBody{})
	if err != nil {
		return nil, err
	}
	report, err := l.report(a)
	if err == nil {
		err = l.settle(report)
	}
	return report, err
}

// report is the record of an answer to Status; nil when there is none that lives.
func (l *link) report(a *vaultapi.Answer) (*vaultapi.StatusReport, error) {
	switch a.Code {
	case vaultapi.OK:
		return a.Body.(*vaultapi.StatusReport), nil
	case vaultapi.None, vaultapi.Destroyed:
		return nil, nil
	}
	return nil, l.refusal(a)
}

// settle finds out what became of a proposal: live, or waiting, or dropped.
func (l *link) settle(live *vaultapi.StatusReport) error {
	if l.st.Proposed == nil {
		return nil
	}
	switch {
	case live != nil && textOf(live.Record) == l.st.Proposed.Record:
		return l.promote()
	case live != nil && live.Pending == vaultapi.PendingReplacement && textOf(live.PendingRecord) == l.st.Proposed.Record:
		return nil
	case live == nil && l.now().Sub(l.st.Proposed.Time) < proposalLife:
		return nil // it may be proposed and not confirmed
	}
	return l.dropProposal()
}

func (l *link) dropProposal() error {
	l.sec.next = nil
	if err := l.c.saveSecrets(l.st, l.sec); err != nil {
		return err
	}
	l.st.Proposed = nil
	return l.c.writeVaultState(l.st)
}

// proposalLife is how long a vault keeps a proposal that is not confirmed
// (spec/vault-protocol.md §11.1).
const proposalLife = 24 * time.Hour

// step is where tests stop a change, as a crash would.
func (c *Client) step(name string) error {
	if c.s.step == nil {
		return nil
	}
	return c.s.step(name)
}
