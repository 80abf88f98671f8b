package client

import (
	"context"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// Reminder is what a check of the password without the vault found.
type Reminder struct {
	Right bool
	// Unsettled says that the password is one of a change that may or may not have
	// taken effect.
	Unsettled bool
}

// CheckPassword says whether p is the password that was set, without asking the
// vault: it costs no attempt. It is ErrNoVerifier when this device has set or proved
// no password.
func (c *Client) CheckPassword(p *password.Password) (*Reminder, error) {
	st, err := c.VaultState()
	if err != nil {
		return nil, err
	}
	sec, err := c.loadSecrets(st)
	if err != nil {
		return nil, err
	}
	if sec == nil || sec.verifier == nil && sec.next == nil {
		return nil, ErrNoVerifier
	}
	defer sec.wipe()
	if sec.verifier != nil && matches(sec.verifier, p) {
		return &Reminder{Right: true, Unsettled: st.Proposed != nil}, nil
	}
	if sec.next != nil && matches(sec.next, p) {
		return &Reminder{Right: true, Unsettled: true}, nil
	}
	return &Reminder{}, nil
}

// TryPassword asks the vault itself, at the price of one attempt when p is wrong,
// makes this device the one that may change the record, and sees whether the key is
// the profile's: ErrOtherKey when it is not.
func (c *Client) TryPassword(ctx context.Context, a Access, p *password.Password) (*Recovery, error) {
	r, err := c.Recover(ctx, a, p, RecoverOptions{Enroll: true})
	if err != nil {
		return nil, err
	}
	defer r.Key.Wipe()
	if !c.Holds(r.Key) {
		return r, ErrOtherKey
	}
	return r, nil
}

// VaultReport is what the vault says of this account's record.
type VaultReport struct {
	State    VaultState
	Policy   fleet.Policy
	Hardened bool // the fleet has a key in its hardware
	Live     bool
	Mine     bool      // this device has set it or proved its password
	Gone     time.Time // destroyed then; zero when not
	Counted
	Registered, LastSuccess time.Time
	Past                    []Attempt // since the last success, oldest first
	Change                  string    // "replacement" or "deletion" that waits; "" for none
	ChangeMine              bool
	Ripens                  time.Time // when the change can take effect; zero when it was not confirmed yet
	Unsafe                  []string  // choices that cost safety, one sentence each
}

// VaultStatus asks the vault what it keeps. It costs no attempt.
func (c *Client) VaultStatus(ctx context.Context, a Access) (r *VaultReport, err error) {
	err = c.vault(ctx, a, func(l *link) error {
		if err := l.finishProof(ctx); err != nil {
			return err
		}
		answer, err := l.ask(ctx, &vaultapi.StatusBody{})
		if err != nil {
			return err
		}
		r, err = l.describe(answer)
		return err
	})
	return r, err
}

func (l *link) describe(a *vaultapi.Answer) (*VaultReport, error) {
	live, err := l.report(a)
	if err != nil {
		return nil, err
	}
	if err := l.settle(live); err != nil {
		return nil, err
	}
	r := &VaultReport{State: *l.st, Policy: l.bundle.Policy, Hardened: l.bundle.Hardened(), Counted: l.counted(a)}
	if r.Policy.Insecure {
		r.Unsafe = append(r.Unsafe, "the vault is insecure by its own word: its operator can undo what it destroys")
	}
	if d, ok := l.refusal(a).(*DestroyedError); ok && live == nil {
		r.Gone = d.When
	}
	if live == nil {
		return r, nil
	}
	r.Live, r.Mine = true, l.mine(live.Record)
	r.Registered, r.LastSuccess = l.when(a, live.Registered), l.when(a, live.LastSuccess)
	r.Past = l.past(a, live.Past)
	switch live.Pending {
	case vaultapi.PendingReplacement:
		r.Change = "replacement"
	case vaultapi.PendingDeletion:
		r.Change = "deletion"
	}
	r.Ripens = l.when(a, live.Ripens)
	r.ChangeMine = l.st.Proposed != nil && l.st.Proposed.Record == textOf(live.PendingRecord)
	return r, nil
}

// CancelChange drops a change of the record that waits, by this device's authority. It
// says whether there was one.
func (c *Client) CancelChange(ctx context.Context, a Access) (had bool, err error) {
	err = c.vault(ctx, a, func(l *link) error {
		live, err := l.status(ctx)
		if err != nil || live == nil || live.Pending == vaultapi.NoPending {
			return err
		}
		if !l.mine(live.Record) {
			return ErrForeignRecord
		}
		had = true
		body := &vaultapi.CancelBody{Record: live.PendingRecord}
		body.Authority = l.authority(vaultapi.CancelMessage(l.st.Server.Fleet, l.account, live.Record, live.PendingRecord))
		answer, err := l.ask(ctx, body)
		if err == nil && answer.Code != vaultapi.OK {
			err = l.refusal(answer)
		}
		return err
	})
	return had, err
}

// RemovePassword takes the key out of the vault, so that the digits alone open the
// backup. deliver hands them to the person first, as for Enable; interrupted after
// it, both open the backup until the next RemovePassword.
func (c *Client) RemovePassword(ctx context.Context, a Access, deliver func(*key.Key) error) error {
	return c.change(ctx, "password remove", func() error {
		if !c.BehindPassword() {
			return ErrNoPassword
		}
		k, err := c.Key()
		if err != nil {
			return err
		}
		defer k.Wipe()
		if err := deliver(k); err != nil {
			return err
		}
		return c.DeleteRecord(ctx, a)
	})
}

// DeleteRecord destroys this device's record at the vault, and forgets it here. A
// record that another device put there is ErrForeignRecord, and stays. While the
// error is ErrNotCounted it is not known whether the record is still there: the
// password opens the backup while it is.
func (c *Client) DeleteRecord(ctx context.Context, a Access) error {
	return c.vault(ctx, a, func(l *link) error {
		live, err := l.status(ctx)
		if err != nil {
			return err
		}
		if live != nil {
			if !l.mine(live.Record) {
				return ErrForeignRecord
			}
			if err := l.delete(ctx, live.Record); err != nil {
				return err
			}
		}
		return l.forgetRecord()
	})
}

func (l *link) delete(ctx context.Context, record vaultapi.ID) error {
	body := &vaultapi.DeleteBody{Record: record}
	body.Authority = l.authority(vaultapi.DeleteMessage(l.st.Server.Fleet, l.account, record))
	a, err := l.ask(ctx, body)
	if err != nil {
		return err
	}
	switch a.Code {
	case vaultapi.OK, vaultapi.None:
		return l.c.step("deleted")
	}
	return l.refusal(a)
}

// forgetRecord: the verifier goes first, for it stands for a password that opens
// nothing any more.
func (l *link) forgetRecord() error {
	l.sec.verifier, l.sec.next = nil, nil
	if err := l.c.saveSecrets(l.st, l.sec); err != nil {
		return err
	}
	l.st.Record, l.st.Proposed, l.st.Proof, l.st.Again = "", nil, nil, false
	return l.c.writeVaultState(l.st)
}

// ForgetVault removes what this device knows of its vault. What the vault keeps stays.
func (c *Client) ForgetVault() error {
	unlock, err := c.lockVault()
	if err != nil {
		return err
	}
	defer unlock()
	return c.forgetVault()
}
