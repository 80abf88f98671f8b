package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/password"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// link is this device speaking to its vault.
type link struct {
	c      *Client
	access Access
	st     *VaultState
	sec    *vaultSecrets
	relay  *relay

	bundle  *fleet.Bundle
	token   *Tokens
	account vaultapi.Account
	bound   bool // tokens are bound to the sign-in key
	fresh   bool // a code was asked for in this call
}

// vault runs f with a link: the fleet's bundle was checked against the pin and what
// was seen before, and the person is logged in. One command at a time: two that
// refresh one session would end it.
func (c *Client) vault(ctx context.Context, a Access, f func(*link) error) error {
	if err := c.makeProfile(); err != nil {
		return err
	}
	unlock, err := c.lockVault()
	if err != nil {
		return err
	}
	defer unlock()
	l := &link{c: c, access: a}
	if l.st, err = c.vaultStateFor(a); err != nil {
		return err
	}
	if err := l.loadSecrets(); err != nil {
		return err
	}
	defer l.sec.wipe()
	if code := a.Code; code != nil {
		l.access.Code = func(ctx context.Context, handle string) (string, error) { l.fresh = true; return code(ctx, handle) }
	}
	l.relay = newRelay(l.st.Server, l.st.Near, c)
	defer l.relay.close()
	if err := l.fetchBundle(ctx); err != nil {
		return err
	}
	if err := l.renew(ctx); err != nil {
		return err
	}
	return f(l)
}

// vaultStateFor gives the state, with what the call says put in. It is not written yet.
func (c *Client) vaultStateFor(a Access) (*VaultState, error) {
	st, err := c.VaultState()
	switch {
	case errors.Is(err, ErrNoVault) && a.Server != nil:
		st = newVaultState(a.Server, "")
	case err != nil:
		return nil, err
	case a.Server != nil && a.Server.Fleet != st.Server.Fleet:
		if !a.Leave && (st.Record != "" || st.Proposed != nil || st.Proof != nil) {
			return nil, fmt.Errorf("%w, of %s: the key of this backup is there", errOtherVault, st.Server.Host())
		}
		st.Server, st.Serial, st.Digest, st.FleetKey, st.Account = a.Server, 0, "", "", ""
		st.Record, st.Proposed, st.Proof, st.Again = "", nil, nil, false
	case a.Server != nil:
		st.Server = a.Server // moved, or certified anew
	}
	if a.Handle != "" {
		st.Handle = a.Handle
	}
	if a.TokenFile != "" {
		st.TokenFile = absolute(a.TokenFile)
	}
	st.AcceptInsecure = st.AcceptInsecure || a.AcceptInsecure
	return st, nil
}

var errOtherVault = fmt.Errorf("%w: this device uses another vault", ErrServer)

// loadSecrets makes them for a new device. They come before the state that says
// where they are.
func (l *link) loadSecrets() (err error) {
	if l.st.Secrets != "" {
		if l.sec, err = l.c.loadSecrets(l.st); err != nil || l.sec != nil {
			return err
		}
		// Lost from the keyring. A new device key is another device, and says so.
		l.sec = newSecrets()
		return l.c.saveSecrets(l.st, l.sec)
	}
	l.sec = newSecrets()
	if err := l.c.chooseSecrets(l.st, l.access.Secrets, l.sec); err != nil {
		return err
	}
	return l.c.writeVaultState(l.st)
}

// fetchBundle takes the fleet's bundle from the relay and believes the fleet's
// signature. Its serial is on the disk before it is used.
//
// One that is older than what was seen is asked for again, and elsewhere: a relay
// keeps its copy for some seconds, and a replica can lag. Nothing but old ones is a
// lie.
func (l *link) fetchBundle(ctx context.Context) error {
	var b *fleet.Bundle
	var changed bool
	var stale error
	err := l.relay.bundle(ctx, func(data []byte) (err error) {
		if b, err = fleet.Open(data, l.st.Server.Fleet); err == nil {
			changed, err = l.st.saw(b)
		}
		if errors.Is(err, fleet.ErrStale) {
			stale = err
			return &again{cause: err}
		}
		if errors.Is(err, ErrFleetKey) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: %w", password.ErrDishonest, err)
		}
		return nil
	})
	if stale != nil && errors.Is(err, ErrNotCounted) {
		return fmt.Errorf("%w: %w", password.ErrDishonest, stale)
	}
	if err != nil {
		return err
	}
	if b.Policy.Insecure && !l.st.AcceptInsecure {
		return ErrInsecureVault
	}
	if changed {
		if err := l.c.writeVaultState(l.st); err != nil {
			return err
		}
	}
	l.bundle = b
	return nil
}

// renew gets tokens and sees to it that they are for the account of this device.
func (l *link) renew(ctx context.Context) error {
	t, err := l.tokens(ctx)
	if err != nil {
		return err
	}
	return l.use(t)
}

func (l *link) use(t *Tokens) error {
	id, err := readIdentity(t.Vault)
	if err != nil {
		return err
	}
	if l.account, err = id.account(); err != nil {
		return err
	}
	if l.bound, err = id.bound(l.sec.signIn()); err != nil {
		return err
	}
	text := hex.EncodeToString(l.account[:])
	if l.st.Account != "" && l.st.Account != text && (l.st.Record != "" || l.st.Proposed != nil || l.st.Proof != nil) {
		return ErrOtherAccount
	}
	l.token, l.st.Account = t, text
	if len(l.st.Server.Others) > 0 {
		l.st.Near = l.relay.near()
	}
	return l.c.writeVaultState(l.st)
}

func (l *link) place() password.Place {
	return password.Place{Fleet: l.st.Server.Fleet, Account: l.account, FleetKey: l.bundle.FleetKey}
}

func (l *link) now() time.Time { return l.c.now() }

// sealTo is the channel key to seal to. Without a valid one the bundle is fetched
// once more.
func (l *link) sealTo(ctx context.Context) (*sealed.PublicKey, error) {
	key, err := l.bundle.Current(uint64(l.now().UnixMilli()))
	if errors.Is(err, fleet.ErrNoKey) {
		if err := l.fetchBundle(ctx); err != nil {
			return nil, err
		}
		key, err = l.bundle.Current(uint64(l.now().UnixMilli()))
	}
	if err != nil {
		return nil, &NotCountedError{Cause: fmt.Errorf("%w; is the clock of this device right?", err)}
	}
	return key, nil
}

// ask sends a request until the vault has answered it. Only answers that the vault
// sealed count; busy ones and others are asked for again, with the same bytes. A
// token that was refused and a channel key that is gone are renewed once, and the
// request says the same inside.
func (l *link) ask(ctx context.Context, body vaultapi.Body) (*vaultapi.Answer, error) {
	for round := 0; ; round++ {
		a, err := l.askOnce(ctx, body)
		refused := errors.Is(err, errToken) || err == nil && a.Code == vaultapi.Unauthorised && a.Limit == 0
		switch {
		case refused && round == 0:
			err = l.renew(ctx)
		case refused:
			return nil, fmt.Errorf("%w: the access token was refused", ErrLogin)
		case errors.Is(err, errChannelKey) && round == 0:
			err = l.fetchBundle(ctx)
		case errors.Is(err, errChannelKey):
			return nil, &NotCountedError{Sent: true, Cause: err}
		case err == nil && a.Code == vaultapi.Unsupported:
			return nil, fmt.Errorf("%w: the vault does not know this request", password.ErrUnsupported)
		default:
			return a, err
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *link) askOnce(ctx context.Context, body vaultapi.Body) (a *vaultapi.Answer, err error) {
	request := &vaultapi.Request{Token: l.token.Vault, Body: body}
	if l.bound {
		request.Bind(l.st.Server.Fleet, l.sec.signIn())
	}
	message, err := request.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(message)
	key, err := l.sealTo(ctx)
	if err != nil {
		return nil, err
	}
	block, pending, err := key.Seal(message)
	if err != nil {
		return nil, err
	}
	defer pending.Wipe()
	err = l.relay.exchange(ctx, l.token.Relay, block, func(sealedAnswer []byte) error {
		plain, err := pending.Open(sealedAnswer)
		if err != nil {
			// The relay can break every answer. That says nothing of the vault.
			return &again{cause: errors.New("what came back is not from the vault")}
		}
		if a, err = vaultapi.DecodeAnswer(body.Type(), plain); err != nil {
			return fmt.Errorf("%w: %w", password.ErrDishonest, err)
		}
		if a.Code == vaultapi.Busy {
			return &again{cause: errors.New("the vault is busy"), here: true}
		}
		return nil
	})
	return a, err
}

// when turns a time of the vault into one of this device: they differ by as much as
// the two clocks do. 0 is the zero time.
func (l *link) when(a *vaultapi.Answer, ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return l.now().Add(time.Duration(int64(ms)-int64(a.Time)) * time.Millisecond)
}

// counted is what an answer says of attempts.
func (l *link) counted(a *vaultapi.Answer) Counted {
	c := Counted{Left: int(a.Left), Limit: int(a.Limit)}
	if a.Next > a.Time {
		c.Next = l.when(a, a.Next)
	}
	return c
}

// refusal is the error of an answer that is not OK.
func (l *link) refusal(a *vaultapi.Answer) error {
	switch a.Code {
	case vaultapi.Wait:
		return &WaitError{l.counted(a)}
	case vaultapi.Destroyed:
		e := &DestroyedError{Limit: int(a.Limit)}
		if d, ok := a.Body.(*vaultapi.Destruction); ok {
			e.When = l.when(a, d.When)
		}
		return e
	case vaultapi.None:
		return ErrNoRecord
	case vaultapi.Unauthorised:
		return ErrForeignRecord
	}
	return fmt.Errorf("client: the vault answers: %v", a.Code)
}
