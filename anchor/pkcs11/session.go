//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// A token is one token of a loaded module, for which this process is logged in as the
// user. PKCS#11 knows one login per process and token, which all sessions share.
type token struct {
	caller
	opts Options
	lib  *library

	mu   sync.Mutex // logins, one at a time
	slot uint
	soft bool // it is SoftHSM
	pin  pin
}

// A lane is one session. What goes on in it is done by one goroutine at a time.
type lane struct {
	*token
	open    bool
	session p11.SessionHandle
	found   map[string]p11.ObjectHandle // keys by label, for this session
}

func connect(opts Options, secret *anchor.Secret) (*token, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	lib, err := load(opts.Module)
	if err != nil {
		return nil, err
	}
	t := &token{caller: caller{lib.ctx, opts.tap}, opts: opts, lib: lib, pin: pin{file: opts.PINFile, secret: secret}}
	if err := t.findSlot(); err != nil {
		return nil, errors.Join(err, lib.release())
	}
	return t, nil
}

func (t *token) findSlot() error {
	slots, err := ask(&t.caller, "C_GetSlotList", func() ([]uint, error) { return t.ctx.GetSlotList(true) })
	if err != nil {
		return err
	}
	var labels []string
	var unread error // taken out between the two calls, or not for us
	found := 0
	for _, slot := range slots {
		info, err := t.tokenInfo(slot)
		if err != nil {
			unread = err
			continue
		}
		labels = append(labels, fmt.Sprintf("%q", info.Label))
		if (t.opts.Token == "" || info.Label == t.opts.Token) && (t.opts.Serial == "" || info.SerialNumber == t.opts.Serial) {
			t.slot, t.soft = slot, strings.HasPrefix(info.Model, "SoftHSM")
			found++
		}
	}
	switch found {
	case 1:
		return nil
	case 0:
		err := fmt.Errorf("%w: no %s in a slot of %s, which has %v; plug it in, or start the vendor's client", anchor.ErrAbsent, t.opts.name(), t.opts.Module, labels)
		return errors.Join(err, unread)
	}
	return fmt.Errorf("pkcs11: %d tokens are called %q: give the serial number too", found, t.opts.Token)
}

// ready opens the lane's session and logs in, if that was not done or was undone.
func (l *lane) ready() error {
	if l.open {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.findSlot(); err != nil {
		return err
	}
	s, err := ask(&l.caller, "C_OpenSession", func() (p11.SessionHandle, error) {
		return l.ctx.OpenSession(l.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	})
	if err != nil {
		return err
	}
	l.open, l.session, l.found = true, s, map[string]p11.ObjectHandle{}
	if err := l.login(); err != nil {
		l.drop()
		return err
	}
	return nil
}

// drop forgets the session, and ends it if it is still there.
func (l *lane) drop() {
	if l.open {
		l.open = false
		_ = l.do("C_CloseSession", func() error { return l.ctx.CloseSession(l.session) })
	}
}

// login makes the process the token's user, if it is not yet. The caller holds l.mu.
func (l *lane) login() error {
	info, err := ask(&l.caller, "C_GetSessionInfo", func() (p11.SessionInfo, error) { return l.ctx.GetSessionInfo(l.session) })
	if err != nil {
		return err
	}
	if info.State == p11.CKS_RW_USER_FUNCTIONS {
		return nil
	}
	if err := l.mayTry(p11.CKF_USER_PIN_LOCKED, p11.CKF_USER_PIN_FINAL_TRY, "user PIN"); err != nil {
		return err
	}
	b, err := l.pin.get()
	if err != nil {
		return err
	}
	defer clear(b)
	// The binding takes a string, which cannot be wiped.
	err = l.do("C_Login", func() error { return l.ctx.Login(l.session, p11.CKU_USER, string(b)) })
	switch {
	case err == nil:
		return l.pin.accepted()
	case errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)):
		return nil
	case errors.Is(err, p11.Error(p11.CKR_PIN_INCORRECT)), errors.Is(err, p11.Error(p11.CKR_PIN_INVALID)), errors.Is(err, p11.Error(p11.CKR_PIN_LEN_RANGE)):
		return l.pin.refuse(b, ErrPIN)
	case errors.Is(err, anchor.ErrLocked):
		return l.pin.refuse(b, fmt.Errorf("%w: the SO sets a new user PIN with the vendor's tool", err))
	}
	return err
}

// mayTry refuses to try a PIN when a wrong one would lock the token, or it is locked.
func (t *token) mayTry(locked, final uint, what string) error {
	info, err := t.tokenInfo(t.slot)
	if err != nil {
		return err
	}
	if info.Flags&locked != 0 {
		return fmt.Errorf("%w: the %s of %s", anchor.ErrLocked, what, t.opts.name())
	}
	if info.Flags&final != 0 {
		return fmt.Errorf("%w: one more wrong %s locks %s for good, and it is not tried here; log in once with the vendor's tool", anchor.ErrLocked, what, t.opts.name())
	}
	return nil
}

// run does f in the lane. If the session was lost, of which the token's removal is one cause, f is
// done once more in a new one: f must be such that it may be.
func (l *lane) run(f func() error) error {
	if err := l.ready(); err != nil {
		return err
	}
	err := f()
	if !lost(err) {
		return err
	}
	l.drop()
	if err := l.ready(); err != nil {
		return err
	}
	return f()
}

func attribute(kind uint, value any) *p11.Attribute { return p11.NewAttribute(kind, value) }

func (l *lane) find(template ...*p11.Attribute) ([]p11.ObjectHandle, error) {
	if err := l.do("C_FindObjectsInit", func() error { return l.ctx.FindObjectsInit(l.session, template) }); err != nil {
		return nil, err
	}
	handles, err := ask(&l.caller, "C_FindObjects", func() ([]p11.ObjectHandle, error) {
		h, _, err := l.ctx.FindObjects(l.session, maxFound)
		return h, err
	})
	final := l.do("C_FindObjectsFinal", func() error { return l.ctx.FindObjectsFinal(l.session) })
	if err == nil && len(handles) == maxFound {
		err = fmt.Errorf("pkcs11: %s has %d objects of one kind of ours: somebody puts them there", l.opts.name(), maxFound)
	}
	return handles, errors.Join(err, final)
}

// maxFound bounds what is read of a token on which somebody else has the PIN too.
const maxFound = 64

// one returns the only object of a class and label; ErrNoKey if there is none.
func (l *lane) one(class uint, label string) (p11.ObjectHandle, error) {
	key := fmt.Sprint(class, label)
	if h, ok := l.found[key]; ok {
		return h, nil
	}
	handles, err := l.find(attribute(p11.CKA_CLASS, class), attribute(p11.CKA_LABEL, label), attribute(p11.CKA_TOKEN, true))
	if err != nil {
		return 0, err
	}
	switch len(handles) {
	case 0:
		return 0, l.absent(fmt.Errorf("%w: %q", ErrNoKey, label))
	case 1:
		l.found[key] = handles[0]
		return handles[0], nil
	}
	return 0, fmt.Errorf("%w: %d objects are called %q", anchor.ErrForeign, len(handles), label)
}

// absent returns why something is not there: because it is not, or because the login ended, and
// what is private is hidden.
func (l *lane) absent(why error) error {
	info, err := ask(&l.caller, "C_GetSessionInfo", func() (p11.SessionInfo, error) { return l.ctx.GetSessionInfo(l.session) })
	if err == nil && info.State != p11.CKS_RW_USER_FUNCTIONS {
		return errVanished
	}
	return errors.Join(why, err)
}

func (l *lane) read(h p11.ObjectHandle, kind uint) ([]byte, error) {
	a, err := ask(&l.caller, "C_GetAttributeValue", func() ([]*p11.Attribute, error) {
		return l.ctx.GetAttributeValue(l.session, h, []*p11.Attribute{attribute(kind, nil)})
	})
	if err != nil {
		return nil, err
	}
	if len(a) != 1 {
		return nil, errors.New("pkcs11: the module returned another number of attributes")
	}
	return a[0].Value, nil
}

func (l *lane) destroy(h p11.ObjectHandle) error {
	err := l.do("C_DestroyObject", func() error { return l.ctx.DestroyObject(l.session, h) })
	if err == nil {
		clear(l.found) // one of them may be it
	}
	return err
}

// destroyAll destroys every object with a label, of both halves of a pair.
func (l *lane) destroyAll(label string) error {
	handles, err := l.find(attribute(p11.CKA_LABEL, label), attribute(p11.CKA_TOKEN, true))
	if err == nil {
		err = l.absent(nil) // a private half may be hidden
	}
	if err != nil {
		return err
	}
	for _, h := range handles {
		if err := l.destroy(h); err != nil {
			return err
		}
	}
	return nil
}
