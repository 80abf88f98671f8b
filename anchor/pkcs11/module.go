//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// A library is a loaded module. C_Initialize is once per process, so all who use a
// module share it; when the last one is done it is finalized, and looks at its
// configuration and tokens again when it is next opened. It stays mapped: several
// modules do not survive being unloaded.
type library struct {
	path  string
	ctx   *p11.Ctx
	users int
}

var (
	libraries   = map[string]*library{}
	librariesMu sync.Mutex
)

func load(path string) (*library, error) {
	librariesMu.Lock()
	defer librariesMu.Unlock()
	l := libraries[path]
	if l == nil {
		ctx := p11.New(path)
		if ctx == nil {
			return nil, fmt.Errorf("loading the PKCS#11 module %s: %w: no such library, or it is none for PKCS#11; install the vendor's client and check the path", path, anchor.ErrAbsent)
		}
		l = &library{path: path, ctx: ctx}
		libraries[path] = l
	}
	if l.users == 0 {
		if err := l.ctx.Initialize(); err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
			return nil, fmt.Errorf("initializing the PKCS#11 module %s: %w: %w", path, anchor.ErrAbsent, err)
		}
	}
	l.users++
	return l, nil
}

func (l *library) release() error {
	librariesMu.Lock()
	defer librariesMu.Unlock()
	if l.users--; l.users > 0 {
		return nil
	}
	if err := l.ctx.Finalize(); err != nil {
		return fmt.Errorf("finalizing the PKCS#11 module %s: %w", l.path, err)
	}
	return nil
}

// what a p11.Error means to callers of this package, if it means anything to them.
var meanings = map[p11.Error]error{
	p11.CKR_TOKEN_NOT_PRESENT:    anchor.ErrAbsent,
	p11.CKR_TOKEN_NOT_RECOGNIZED: anchor.ErrAbsent,
	p11.CKR_DEVICE_REMOVED:       anchor.ErrAbsent,
	p11.CKR_SLOT_ID_INVALID:      anchor.ErrAbsent,
	p11.CKR_PIN_LOCKED:           anchor.ErrLocked,
}

// failed wraps what a call of the module returned.
func failed(call string, err error) error {
	var code p11.Error
	if err == nil || !errors.As(err, &code) {
		return err
	}
	if meaning := meanings[code]; meaning != nil {
		return fmt.Errorf("%s: %w: %w", call, meaning, err)
	}
	return fmt.Errorf("%s: %w", call, err)
}

// lost reports whether a new session and login may help: ours is gone, or the handles are
// those of an earlier one.
func lost(err error) bool {
	// Whatever else went wrong: a second try would be a second wrong PIN.
	if errors.Is(err, anchor.ErrCustodian) || errors.Is(err, ErrPIN) || errors.Is(err, anchor.ErrLocked) {
		return false
	}
	for _, code := range []p11.Error{
		p11.CKR_SESSION_HANDLE_INVALID, p11.CKR_SESSION_CLOSED, p11.CKR_USER_NOT_LOGGED_IN, p11.CKR_TOKEN_NOT_PRESENT,
		p11.CKR_DEVICE_REMOVED, p11.CKR_KEY_HANDLE_INVALID, p11.CKR_OBJECT_HANDLE_INVALID,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return errors.Is(err, errVanished)
}

// errVanished: the token does not show what was just stored in it: a login that ended shows
// itself so, because private objects are hidden then.
var errVanished = errors.New("pkcs11: the token does not show what was stored in it")

func initToken(path, label string, custodian, pin *anchor.Secret) (err error) {
	l, err := load(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	c := &caller{ctx: l.ctx}
	slots, err := ask(c, "C_GetSlotList", func() ([]uint, error) { return c.ctx.GetSlotList(true) })
	if err != nil {
		return err
	}
	for _, slot := range slots {
		info, err := c.tokenInfo(slot)
		if err != nil {
			return err
		}
		if info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 {
			return c.initToken(slot, label, custodian, pin)
		}
		if info.Label == label {
			return fmt.Errorf("pkcs11: there is a token %q already", label)
		}
	}
	return errors.New("pkcs11: no slot is free for a new token")
}

func (c *caller) initToken(slot uint, label string, custodian, pin *anchor.Secret) error {
	var so, user string
	custodian.Use(func(b []byte) { so = string(b) })
	pin.Use(func(b []byte) { user = string(b) })
	if err := c.do("C_InitToken", func() error { return c.ctx.InitToken(slot, so, label) }); err != nil {
		return err
	}
	s, err := ask(c, "C_OpenSession", func() (p11.SessionHandle, error) {
		return c.ctx.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	})
	if err != nil {
		return err
	}
	defer c.ctx.CloseSession(s)
	if err := c.do("C_Login", func() error { return c.ctx.Login(s, p11.CKU_SO, so) }); err != nil {
		return err
	}
	return c.do("C_InitPIN", func() error { return c.ctx.InitPIN(s, user) })
}

// A caller calls the module, past what a test put in between.
type caller struct {
	ctx *p11.Ctx
	tap *tap
}

func (c *caller) do(name string, f func() error) error {
	if c.tap != nil && c.tap.call != nil {
		return failed(name, c.tap.call(name, f))
	}
	return failed(name, f())
}

// ask is do for calls that return something.
func ask[T any](c *caller, name string, f func() (T, error)) (got T, err error) {
	err = c.do(name, func() (err error) {
		got, err = f()
		return err
	})
	return got, err
}

func (c *caller) tokenInfo(slot uint) (p11.TokenInfo, error) {
	info, err := ask(c, "C_GetTokenInfo", func() (p11.TokenInfo, error) { return c.ctx.GetTokenInfo(slot) })
	if c.tap != nil && c.tap.flags != nil {
		info.Flags = c.tap.flags(info.Flags)
	}
	return info, err
}
