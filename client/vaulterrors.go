package client

import (
	"errors"
	"fmt"
	"time"

	"keepsake.example/password"
)

// How the password path can end, with errors.Is. What a vault says that lies is
// password.ErrDishonest, and what a newer version made password.ErrUnsupported.
var (
	// ErrWrongPassword means that an attempt was counted, and the password is wrong.
	ErrWrongPassword = errors.New("client: wrong password")
	// ErrWait means that the vault takes no attempt yet. Nothing was counted.
	ErrWait = errors.New("client: the vault takes no attempt yet")
	// ErrDestroyed means that the record was destroyed for good.
	ErrDestroyed = errors.New("client: the key behind the password is destroyed")
	// ErrNoRecord means that the vault keeps nothing for this account.
	ErrNoRecord = errors.New("client: the vault keeps no key for this account")
	// ErrNotCounted means that the vault gave no answer: it is not known as wrong,
	// and whatever was sent is not counted twice.
	ErrNotCounted = errors.New("client: the server cannot be reached")
	// ErrRefused means that the server, not the vault, refuses to serve. Nothing
	// was counted.
	ErrRefused = errors.New("client: the server refuses")
	// ErrLogin means that the person has to log in, or to log in again.
	ErrLogin = errors.New("client: not logged in")
	// ErrWrongCode means that the one-time code was wrong or too old.
	ErrWrongCode = errors.New("client: the code is wrong, or too old")
	// ErrForeignRecord means that the vault keeps a key for this account that
	// another device put there.
	ErrForeignRecord = errors.New("client: the vault keeps a key that another device put there")
	// ErrChangeWaits means that a change takes effect only after the cool-down.
	ErrChangeWaits = errors.New("client: the change has to wait")
	// ErrInsecureVault means that the vault says of itself that it does not protect
	// as it should.
	ErrInsecureVault = errors.New("client: the vault is insecure by its own word")
	// ErrFleetKey means that the fleet's bundle names another key in its hardware than
	// before, or none any more. It says nothing of a password, and trying again with
	// another one is of no use. It is also the error for a record that was made with
	// such a key: [password.ErrFleetKey].
	ErrFleetKey = password.ErrFleetKey
	// ErrOtherAccount means that the token is for another account than this
	// device's.
	ErrOtherAccount = errors.New("client: logged in as somebody else than before")
	// ErrNoVault means that this device knows no vault.
	ErrNoVault = errors.New("client: no vault is set up here")
	// ErrNoPassword means that the key of this profile is not behind a password.
	ErrNoPassword = errors.New("client: the key of this backup is not behind a password")
	// ErrPasswordSet means that the key is behind a password, and what was asked
	// for would leave another one there.
	ErrPasswordSet = errors.New("client: the key of this backup is behind a password")
	// ErrUnsettled means that no answer came to the last step of a change: the
	// password from before holds, or the new one. The next command finds out.
	ErrUnsettled = errors.New("client: not known yet whether the change took effect")
	// ErrNoVerifier means that this device cannot check a password by itself.
	ErrNoVerifier = errors.New("client: this device cannot check the password by itself")
	// ErrOtherKey means that the password gives a key, and not the one that this
	// device has.
	ErrOtherKey = errors.New("client: the password gives another key than this device has")
)

// Counted is what the vault says about attempts with most of its answers.
type Counted struct {
	Left, Limit int
	Next        time.Time // when the next attempt is taken, by this device's clock; zero: now
}

// A WrongPasswordError says how many attempts are left. It is ErrWrongPassword.
type WrongPasswordError struct{ Counted }

func (e *WrongPasswordError) Error() string {
	return fmt.Sprintf("client: wrong password; %d attempts left", e.Left)
}

// Is reports that every WrongPasswordError is ErrWrongPassword.
func (e *WrongPasswordError) Is(target error) bool { return target == ErrWrongPassword }

// A WaitError says when the next attempt is taken. It is ErrWait.
type WaitError struct{ Counted }

func (e *WaitError) Error() string {
	return "client: the vault takes no attempt before " + e.Next.Local().Format("2006-01-02 15:04:05")
}

// Is reports that every WaitError is ErrWait.
func (e *WaitError) Is(target error) bool { return target == ErrWait }

// A DestroyedError says when the record was destroyed. It is ErrDestroyed.
type DestroyedError struct {
	When  time.Time
	Limit int // wrong passwords that it took; 0 when not known
}

func (e *DestroyedError) Error() string {
	return "client: destroyed on " + e.When.Local().Format("2006-01-02 15:04:05")
}

// Is reports that every DestroyedError is ErrDestroyed.
func (e *DestroyedError) Is(target error) bool { return target == ErrDestroyed }

// A NotCountedError says why no answer came. It is ErrNotCounted.
type NotCountedError struct {
	// Sent says that the request may have arrived: an attempt may have been
	// counted once, and the same password again is not counted a second time.
	Sent  bool
	Cause error
}

func (e *NotCountedError) Error() string {
	return "client: the server cannot be reached: " + e.Cause.Error()
}

// Is reports that every NotCountedError is ErrNotCounted.
func (e *NotCountedError) Is(target error) bool { return target == ErrNotCounted }

func (e *NotCountedError) Unwrap() error { return e.Cause }

// A RefusedError is the server's refusal. It is ErrRefused.
type RefusedError struct {
	Status int           // HTTP
	After  time.Duration // ask again after this; 0 when the server does not say
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("client: the server refuses (HTTP %d)", e.Status)
}

// Is reports that every RefusedError is ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// A ChangeWaitsError says when the change can be finished. It is ErrChangeWaits.
type ChangeWaitsError struct{ Until time.Time }

func (e *ChangeWaitsError) Error() string {
	return "client: the change can be finished from " + e.Until.Local().Format("2006-01-02 15:04:05") + " on"
}

// Is reports that every ChangeWaitsError is ErrChangeWaits.
func (e *ChangeWaitsError) Is(target error) bool { return target == ErrChangeWaits }
