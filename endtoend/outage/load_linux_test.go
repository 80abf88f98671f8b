package outage_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// load is people who recover their keys, others who guess, and people who come and go.
type load struct {
	t     *testing.T
	s     *system
	key   *sealed.PublicKey
	start time.Time
	all   sync.WaitGroup
	ending

	kind     string // of the outage that goes on
	absences []absence
	busy     []string // the machine, after each round

	mu        sync.Mutex
	histories map[string]*history
	people    map[string]*person
	guesses   map[string]map[vaultapi.ID]bool // evaluations that burners got, by name
	attempts  []done                          // of everybody, in the order in which they ended
}

// Of each kind there are so many. Everybody asks once in a while, so that two loaded
// processors are not what is tested.
const (
	owners  = 10
	burners = 2
	comers  = 2
	pace    = 500 * time.Millisecond
	given   = time.Minute // after which a request is given up as undecided
)

func startLoad(t *testing.T, s *system) *load {
	t.Helper()
	key, err := s.channelKey()
	if err != nil {
		t.Fatalf("fetching the bundle: %v\n%s", err, tail(s.chats[0].log.String()))
	}
	l := &load{
		t: t, s: s, key: key, start: time.Now(), ending: make(ending),
		histories: map[string]*history{}, people: map[string]*person{}, guesses: map[string]map[vaultapi.ID]bool{},
	}
	for i := range owners {
		name := fmt.Sprintf("owner %d", i)
		l.all.Go(func() { l.owner(name) })
	}
	for i := range burners {
		l.all.Go(func() { l.comeAndGo(fmt.Sprintf("burner %d", i), l.burn) })
	}
	for i := range comers {
		l.all.Go(func() { l.comeAndGo(fmt.Sprintf("comer %d", i), l.stay) })
	}
	return l
}

// user is somebody at an account; there may be several.
type user struct {
	l    *load
	name string
	p    *person
	h    *history
}

func (l *load) newUser(name string) *user {
	p := l.s.newPerson(name, l.key)
	rand.Read(p.record[:])
	l.mu.Lock()
	defer l.mu.Unlock()
	l.histories[name], l.people[name] = &history{}, p
	return &user{l, name, p, l.histories[name]}
}

// ask does one request and keeps what came of it.
func (u *user) ask(body vaultapi.Body, id vaultapi.ID) (done, *vaultapi.Answer) {
	ctx, cancel := context.WithTimeout(context.Background(), given)
	defer cancel()
	d := done{kind: body.Type(), id: id, began: int64(time.Since(u.l.start))}
	a, err := u.p.ask(ctx, body)
	d.end = int64(time.Since(u.l.start))
	if err != nil {
		if d.unknown = true; err != errUndecided {
			u.l.t.Errorf("%s: %v: %v", u.name, d.kind, err)
		}
		u.h.add(d)
		return d, nil
	}
	d.code, d.left = a.Code, int(a.Left)
	switch b := a.Body.(type) {
	case *vaultapi.History:
		d.past = len(b.Past)
	case *vaultapi.StatusReport:
		d.past = len(b.Past)
	}
	u.h.add(d)
	return d, a
}

func (u *user) register() bool {
	d, _ := u.ask(u.p.propose(), u.p.record)
	for !d.unknown && d.code == vaultapi.OK {
		d, _ = u.ask(&vaultapi.ConfirmBody{Record: u.p.record}, u.p.record)
		return !d.unknown && d.code == vaultapi.OK
	}
	return false
}

// try makes an attempt, and checks the evaluation.
func (u *user) try(password string) (*vaultapi.AttemptBody, done) {
	asked, b := u.p.guess(password)
	return asked, u.tryWith(asked, b)
}

func (u *user) tryWith(asked *vaultapi.AttemptBody, b *oprf.Blinding) done {
	d, a := u.ask(asked, asked.Attempt)
	if d.unknown {
		return d
	}
	if d.code == vaultapi.OK {
		if err := u.p.checkEvaluation(asked, b, a); err != nil {
			u.l.t.Errorf("%s: %v", u.name, err)
		}
	}
	u.l.mu.Lock()
	defer u.l.mu.Unlock()
	u.l.attempts = append(u.l.attempts, d)
	return d
}

func (u *user) status() { u.ask(&vaultapi.StatusBody{}, vaultapi.ID{}) }

// ending is closed when something is to stop.
type ending chan struct{}

// ended reports whether it is to stop, after a rest.
func (e ending) ended(rest time.Duration) bool {
	select {
	case <-e:
		return true
	case <-time.After(rest):
		return false
	}
}

// owner recovers again and again, while somebody else guesses at the same account.
func (l *load) owner(name string) {
	u := l.newUser(name)
	if !u.register() {
		return
	}
	l.all.Go(func() {
		for !l.ended(2 * pace) {
			u.try("a guess")
			u.status()
		}
	})
	for !l.ended(pace) {
		if asked, d := u.try("the password"); !d.unknown && d.code == vaultapi.OK {
			u.ask(u.p.proof(asked), asked.Attempt)
		}
	}
}

// comeAndGo has one account after the other live its life.
func (l *load) comeAndGo(name string, life func(*user)) {
	for i := 0; !l.ended(pace); i++ {
		if u := l.newUser(fmt.Sprintf("%s, %d", name, i)); u.register() {
			life(u)
			u.p.http.CloseIdleConnections() // of one address chatd takes 200 at once, and there are more accounts
		}
	}
}

// burn guesses with two hands until the record is destroyed: ten evaluations, no more.
func (l *load) burn(u *user) {
	got := map[vaultapi.ID]bool{}
	var hands sync.WaitGroup
	for range 2 {
		hands.Go(func() {
			for !l.ended(pace / 5) {
				asked, d := u.try("a guess")
				if !d.unknown && d.code == vaultapi.Destroyed {
					return
				}
				if !d.unknown && d.code == vaultapi.OK {
					l.mu.Lock()
					got[asked.Attempt] = true
					l.mu.Unlock()
				}
			}
		})
	}
	hands.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guesses[u.name] = got
}

// stay keeps half of the accounts, and deletes the others.
func (l *load) stay(u *user) {
	u.try("a guess")
	u.status()
	if u.p.record[0]%2 == 0 {
		u.ask(u.p.del(), u.p.record)
	}
	u.status()
}

// back waits until an attempt that began after a moment was answered, and gives the
// time that the first of them took to come back after it.
func (l *load) back(t *testing.T, since time.Time) (after time.Duration) {
	t.Helper()
	from := int64(since.Sub(l.start))
	await(t, "service", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, d := range l.attempts {
			if d.began > from {
				after = time.Duration(d.end - from)
				return true
			}
		}
		return false
	})
	return after
}

// answered is how long the attempts took that ended since a moment, shortest first.
func (l *load) answered(since time.Time) (took []time.Duration) {
	from := int64(since.Sub(l.start))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.attempts {
		if d.end > from {
			took = append(took, time.Duration(d.end-d.began))
		}
	}
	slices.Sort(took)
	return took
}

// finish stops the load and asks everybody a last time how it stands; then everything
// that anybody was told is judged.
func (l *load) finish() {
	l.t.Helper()
	close(l.ending)
	l.all.Wait()
	requests, unknown := 0, 0
	for name, h := range l.histories {
		u := &user{l, name, l.people[name], h}
		u.status()
		u.p.http.CloseIdleConnections()
		list := h.all()
		for _, d := range list {
			if requests++; d.unknown {
				unknown++
			}
		}
		if list[len(list)-1].unknown {
			l.t.Errorf("%s: nobody says how it stands", name)
		}
		judge(l.t, name, list)
	}
	burnt := 0
	for name, got := range l.guesses {
		if len(got) > limit {
			l.t.Errorf("%s got %d evaluations", name, len(got))
		}
		if len(got) == limit {
			burnt++
		}
	}
	l.t.Logf("%d accounts, %d requests, of which %d undecided; %d records burnt", len(l.histories), requests, unknown, burnt)
}
