package account

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// leaseTime is how long a process may take to refresh a token before others no
// longer wait for it: rclone tries five times, a second apart, and what has
// taken longer has most likely no network, as the others have none.
const leaseTime = 30 * time.Second

// A Mapper is an account as rclone reads and writes it (configmap.Mapper). What
// the back end sets is kept: refreshed tokens, cookies. It is safe for
// concurrent use.
//
// rclone refreshes a token in three steps: it asks for the token again, lest
// another process has refreshed it; it asks the provider; it sets the new
// one. A token that has expired is therefore given out under the account's lock,
// which is let go at the third step: another process that asks meanwhile waits,
// and then sees a token that is fresh. Where the third step never comes (the
// provider refused, the network is down) the lock goes after leaseTime, or
// when this process asks again and finds a fresh token, or with it.
type Mapper struct {
	a     *Accounts
	login string

	mu      sync.Mutex
	key     []byte
	options map[string]string // as read or set last
	extra   map[string]string // before options, never kept
	unlock  func()            // the lease
	lease   *time.Timer
}

// String keeps the secrets in it out of printers.
func (m *Mapper) String() string { return redacted }

// GoString keeps the secrets in it out of printers.
func (m *Mapper) GoString() string { return redacted }

// Format keeps the secrets in it out of printers.
func (m *Mapper) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// mapper gives an account's options. extra come before them and are not kept.
func (a *Accounts) mapper(login string, extra map[string]string) (*Mapper, *entry, error) {
	e, err := a.load(login, nil)
	if err != nil {
		return nil, nil, err
	}
	return &Mapper{a: a, login: login, key: e.key, options: e.options, extra: extra}, e, nil
}

const tokenOption = "token"

// Get gives an option. It waits while another process refreshes the token.
func (m *Mapper) Get(name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.extra[name]; ok {
		return v, true
	}
	if name == tokenOption {
		m.refreshing()
	}
	v, ok := m.options[name]
	return v, ok
}

// refreshing reads the account anew and, if the token in it has expired, takes
// the lease: whoever asks now is about to refresh it. That the lock cannot be had
// is no reason not to: at worst two refresh.
func (m *Mapper) refreshing() {
	m.read()
	if fresh(m.options[tokenOption]) {
		m.release()
		return
	}
	if m.unlock != nil || m.options[tokenOption] == "" {
		return
	}
	unlock, err := m.a.lock(context.Background(), m.login)
	if err != nil {
		m.warn("waiting for another process", err)
		return
	}
	m.unlock = unlock
	var timer *time.Timer
	timer = time.AfterFunc(m.a.lease, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.lease == timer { // and not a later one
			m.release()
		}
	})
	m.lease = timer
	m.read()
	if fresh(m.options[tokenOption]) {
		m.release()
	}
}

// read takes over what is in the file. An account that went away meanwhile
// leaves what was read before: the provider will say what is the matter.
func (m *Mapper) read() {
	if e, err := m.a.load(m.login, m.key); err == nil {
		m.options = e.options
	}
}

func (m *Mapper) release() {
	if m.unlock != nil {
		m.lease.Stop()
		m.unlock()
		m.unlock, m.lease = nil, nil
	}
}

// Set keeps an option. That it cannot be kept is told to Warn, and the option
// holds for this process.
func (m *Mapper) Set(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unlock == nil {
		unlock, err := m.a.lock(context.Background(), m.login)
		if err != nil {
			m.warn("keeping what the provider sent", err)
			m.put(name, value)
			return
		}
		defer unlock()
	}
	if err := m.set(name, value); err != nil {
		m.warn("keeping what the provider sent", err)
		m.put(name, value)
	}
	if name == tokenOption {
		m.release()
	}
}

// set changes one option in the file. The lock is held.
func (m *Mapper) set(name, value string) error {
	e, err := m.a.load(m.login, m.key)
	if err != nil {
		return err
	}
	m.options = e.options
	if name == tokenOption && older(value, e.options[name]) {
		return nil // another process got a newer one: its refresh token is the one that counts
	}
	if e.options[name] == value {
		return nil
	}
	m.put(name, value)
	e.options = m.options
	return m.a.store(e)
}

func (m *Mapper) put(name, value string) {
	m.options = maps.Clone(m.options)
	m.options[name] = value
}

func (m *Mapper) warn(doing string, err error) {
	if m.a.Warn != nil {
		m.a.Warn(fmt.Sprintf("%s for %s: %v; if this goes on, sign in again with: keepsake cloud login %s", doing, m.login, err, m.login))
	}
}

func parseToken(text string) (t oauth2.Token, ok bool) {
	err := json.Unmarshal([]byte(text), &t)
	return t, err == nil
}

// fresh says that a token need not be refreshed; a text that is none never is.
func fresh(text string) bool {
	t, ok := parseToken(text)
	return ok && t.Valid()
}

// older says that token a was given before b. The same token with an earlier
// time is not older: it was found to be refused, and is declared expired.
func older(a, b string) bool {
	x, _ := parseToken(a)
	y, _ := parseToken(b)
	return x.AccessToken != y.AccessToken && x.Expiry.Before(y.Expiry)
}
