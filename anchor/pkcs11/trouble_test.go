//go:build cgo

package pkcs11_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
)

// calls counts the calls of each name.
func calls(opts *pkcs11.Options, fail func(name string) error) map[string]int {
	n := map[string]int{}
	opts.Tap(func(name string, do func() error) error {
		n[name]++
		if fail != nil {
			if err := fail(name); err != nil {
				return err
			}
		}
		return do()
	}, nil)
	return n
}

func is(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A wrong PIN is tried once, by all processes together; another one in the file is tried again.
func TestWrongPINIsTriedOnce(t *testing.T) {
	opts := founded(t)
	right := must(os.ReadFile(opts.PINFile))
	check(t, os.WriteFile(opts.PINFile, []byte("not the PIN\n"), 0o600))
	n := calls(&opts, nil)
	for range 3 {
		_, err := pkcs11.Open(t.Context(), opts)
		is(t, err, pkcs11.ErrPIN)
		if !strings.Contains(err.Error(), opts.PINFile) {
			t.Errorf("no hint: %v", err)
		}
	}
	if n["C_Login"] != 1 {
		t.Errorf("tried %d times", n["C_Login"])
	}
	if said, _ := spawn(t, "open", opts, 0, 0, 0); said != "wrong PIN, tried 0 times" {
		t.Errorf("another process: %s", said)
	}
	check(t, os.WriteFile(opts.PINFile, right, 0o600))
	if got, _, err := counter(t.Context(), opts); got != 3 || err != nil {
		t.Errorf("with the right PIN: at %d, %v", got, err)
	}
	if _, err := os.Stat(opts.PINFile + ".refused"); err == nil {
		t.Error("the mark is still there after the right PIN")
	}
	check(t, os.WriteFile(opts.PINFile, []byte("wrong again"), 0o600))
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, pkcs11.ErrPIN)
	check(t, os.Remove(opts.PINFile+".refused"))
	_, err = pkcs11.Open(t.Context(), opts)
	is(t, err, pkcs11.ErrPIN)
	if n["C_Login"] != 4 {
		t.Errorf("tried %d times, want 4: once, the right one, and twice with the mark removed", n["C_Login"])
	}
}

// The PIN was changed while the device is open, and the session is lost.
func TestPINChangedWhileOpen(t *testing.T) {
	opts := founded(t)
	n := calls(&opts, nil)
	d := open(t, opts)
	check(t, os.WriteFile(opts.PINFile, []byte("not the PIN\n"), 0o600))
	r := attackLoggedIn(t, opts)
	for range 3 {
		check(t, r.CloseAllSessions(r.slot))
		_, err := d.Seal(t.Context(), "label", []byte("x"))
		is(t, err, pkcs11.ErrPIN)
	}
	if n["C_Login"] != 2 {
		t.Errorf("%d logins, want the first and one with the wrong PIN", n["C_Login"])
	}
}

func TestPINFile(t *testing.T) {
	opts := founded(t)
	right := must(os.ReadFile(opts.PINFile))
	n := calls(&opts, nil)
	for name, spoil := range map[string]func() error{
		"others read it": func() error { return os.Chmod(opts.PINFile, 0o640) },
		"empty":          func() error { return os.WriteFile(opts.PINFile, nil, 0o600) },
		"two lines":      func() error { return os.WriteFile(opts.PINFile, []byte("a\nb\n"), 0o600) },
		"too long":       func() error { return os.WriteFile(opts.PINFile, []byte(strings.Repeat("x", 256)), 0o600) },
		"missing":        func() error { return os.Remove(opts.PINFile) },
		"a folder": func() error {
			return errors.Join(os.Remove(opts.PINFile), os.Mkdir(opts.PINFile, 0o700))
		},
	} {
		check(t, spoil())
		if _, err := pkcs11.Open(t.Context(), opts); err == nil || n["C_Login"] != 0 {
			t.Errorf("%s: %v, %d logins", name, err, n["C_Login"])
		}
		check(t, os.RemoveAll(opts.PINFile))
		check(t, os.WriteFile(opts.PINFile, right, 0o600))
	}
	check(t, os.WriteFile(opts.PINFile, append(right, "\r\n"...), 0o600))
	if _, _, err := counter(t.Context(), opts); err != nil {
		t.Errorf("with the end of a line: %v", err)
	}
}

// When one more wrong PIN would lock the token, or it is locked, no PIN is tried.
func TestNoTryNearTheLock(t *testing.T) {
	for name, flag := range map[string]uint{
		"user PIN locked": p11.CKF_USER_PIN_LOCKED, "user PIN, final try": p11.CKF_USER_PIN_FINAL_TRY,
	} {
		opts := founded(t)
		logins := 0
		opts.Tap(func(name string, do func() error) error {
			if name == "C_Login" {
				logins++
			}
			return do()
		}, func(flags uint) uint { return flags | flag })
		_, err := pkcs11.Open(t.Context(), opts)
		is(t, err, anchor.ErrLocked)
		if logins != 0 {
			t.Errorf("%s: tried", name)
		}
	}
	for name, flag := range map[string]uint{"SO PIN locked": p11.CKF_SO_PIN_LOCKED, "SO PIN, final try": p11.CKF_SO_PIN_FINAL_TRY} {
		opts := founded(t)
		opts.Tap(nil, func(flags uint) uint { return flags | flag })
		d := open(t, opts)
		_, err := d.MakeFleetKey(t.Context(), store.Custodian())
		is(t, err, anchor.ErrLocked)
		_, err = d.FleetKey(t.Context())
		is(t, err, anchor.ErrNoFleetKey)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestLocked(t *testing.T) {
	opts := founded(t)
	n := calls(&opts, func(name string) error {
		if name == "C_Login" {
			return p11.Error(p11.CKR_PIN_LOCKED)
		}
		return nil
	})
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrLocked)
	if n["C_Login"] != 1 {
		t.Errorf("%d logins", n["C_Login"])
	}
}

func TestAbsent(t *testing.T) {
	opts := founded(t)
	for name, spoil := range map[string]func(*pkcs11.Options){
		"no such module": func(o *pkcs11.Options) { o.Module = "/nowhere/libpkcs11.so" },
		"no module":      func(o *pkcs11.Options) { o.Module = o.PINFile },
		"no such token":  func(o *pkcs11.Options) { o.Token = "another" },
		"other serial":   func(o *pkcs11.Options) { o.Serial = "0000" },
	} {
		bad := opts
		spoil(&bad)
		_, err := pkcs11.Open(t.Context(), bad)
		is(t, err, anchor.ErrAbsent)
		if err == nil || !strings.Contains(err.Error(), ";") {
			t.Errorf("%s: no hint in %v", name, err)
		}
	}
	_, err := pkcs11.Open(t.Context(), pkcs11.Options{Module: opts.Module, PINFile: opts.PINFile})
	if err == nil {
		t.Error("opened a token without a name")
	}
}

// The token is taken out and put back: keys work again; the anchor does not know where it stands, and is opened again.
func TestRemoved(t *testing.T) {
	opts := founded(t)
	out := false
	calls(&opts, func(string) error {
		if out {
			return p11.Error(p11.CKR_DEVICE_REMOVED)
		}
		return nil
	})
	d := open(t, opts)
	box := must(d.Seal(t.Context(), "label", []byte("secret")))
	out = true
	_, err := d.Open(t.Context(), "label", box)
	is(t, err, anchor.ErrAbsent)
	is(t, d.Advance(t.Context(), state(4)), anchor.ErrAbsent)
	out = false
	if got, err := d.Open(t.Context(), "label", box); string(got) != "secret" {
		t.Errorf("after it was put back: %q, %v", got, err)
	}
	is(t, d.Advance(t.Context(), state(4)), anchor.ErrAbsent)
	check(t, d.Close())
	if n, _, err := counter(t.Context(), opts); n != 3 || err != nil {
		t.Errorf("opened again: %d, %v", n, err)
	}
}

// Somebody ends our sessions, or the login, before each call of a step in turn. The step is done all the same, once.
func TestSessionLoss(t *testing.T) {
	for name, lose := range map[string]func(*raw) error{
		"sessions": func(r *raw) error { return r.CloseAllSessions(r.slot) },
		"login":    func(r *raw) error { return r.Logout(r.session) },
	} {
		opts := founded(t)
		at, left, lost := uint64(3), -1, false
		var r *raw
		opts.Tap(func(name string, do func() error) error {
			if left == 0 {
				lost = true
				check(t, lose(r))
			}
			left--
			return do()
		}, nil)
		d := open(t, opts)
		r = attackLoggedIn(t, opts)
		for after := 0; ; after++ {
			r.session = must(r.OpenSession(r.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION))
			at++
			left, lost = after, false
			if err := d.Rotate(t.Context(), state(at), keyOf(byte(at))); err != nil {
				t.Fatalf("%s lost before call %d: %v", name, after, err)
			}
			if !lost {
				break
			}
		}
		left = -1
		if at < 15 {
			t.Errorf("%s: only %d calls in a step", name, at-4)
		}
		check(t, d.Close())
		if n, k, err := counter(t.Context(), opts); n != at || !k.Equal(keyOf(byte(at))) {
			t.Errorf("%s: at %d (%v), want %d", name, n, err, at)
		}
		attack(t, opts).tidy()
	}
}

// attackLoggedIn is attack while a device of this process is logged in: PINs play no part.
func attackLoggedIn(t testing.TB, opts pkcs11.Options) *raw {
	t.Helper()
	opts.PINFile = filepath.Join(t.TempDir(), "pin")
	check(t, os.WriteFile(opts.PINFile, []byte("none"), 0o600))
	return attack(t, opts)
}

func TestNotPrepared(t *testing.T) {
	opts := blank(t)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrForeign)
	check(t, pkcs11.Prepare(t.Context(), opts, store.Custodian()))
	is(t, pkcs11.Prepare(t.Context(), opts, store.Custodian()), anchor.ErrFounded)
	check(t, open(t, opts).Close())
}

// What a token cannot do is found out before anything depends on it.
func TestPrepareRefuses(t *testing.T) {
	opts := blank(t)
	for _, failing := range []string{"C_GetMechanismInfo", "C_Decrypt", "C_DeriveKey", "C_GenerateKey"} {
		bad := opts
		calls(&bad, func(name string) error {
			if name == failing {
				return p11.Error(p11.CKR_MECHANISM_INVALID)
			}
			return nil
		})
		is(t, pkcs11.Prepare(t.Context(), bad, store.Custodian()), p11.Error(p11.CKR_MECHANISM_INVALID))
	}
	wrong := must(anchor.NewSecret([]byte("not the SO PIN")))
	is(t, pkcs11.Prepare(t.Context(), opts, wrong), anchor.ErrCustodian)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrForeign)
	check(t, pkcs11.Prepare(t.Context(), opts, nil)) // a module without an SO
}

// The text at start and in status does not call files hardware.
func TestDescribeSoftHSM(t *testing.T) {
	if d := open(t, token(t)).Describe(); d.Name != "pkcs11" || !strings.HasPrefix(d.Protects, "nothing") {
		t.Errorf("%+v", d)
	}
}

// A wrong SO PIN is not tried again because the session was lost right after it.
func TestWrongCustodianIsTriedOnce(t *testing.T) {
	opts := token(t)
	logins, failing := 0, false
	opts.Tap(func(name string, do func() error) error {
		if name == "C_Login" && failing {
			logins++
			if logins > 1 {
				return p11.Error(p11.CKR_SESSION_HANDLE_INVALID)
			}
		}
		return do()
	}, nil)
	d := open(t, opts)
	failing = true
	_, err := d.MakeFleetKey(t.Context(), must(anchor.NewSecret([]byte("wrong"))))
	is(t, err, anchor.ErrCustodian)
	if logins != 2 {
		t.Errorf("%d logins, want one as the SO and one as the user", logins)
	}
}
