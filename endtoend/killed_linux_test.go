package endtoend_test

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Sizes from which a piece on the way between chatd and vaultd is a sealed request,
// or the answer to one. Both are as long, whatever is in them.
const (
	requestSize = 8192
	answerSize  = 4096
)

// victim makes an account with a password, and somebody who has got into it.
func victim(t *testing.T, s *system, handle string) (owner, thief *phone) {
	t.Helper()
	owner = s.managed(t, handle)
	owner.enable(folder(t), "blue sofa on a tuesday")
	return owner, s.managed(t, handle)
}

// The answer to an attempt is lost with vaultd, after it was counted: the client says
// that nothing is counted twice, and the same attempt goes on once vaultd is back.
func TestVaultKilledWithTheAnswer(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	s.back.onData(func(up bool, data []byte) bool {
		if up || len(data) < answerSize {
			return true
		}
		s.vault.end(syscall.SIGKILL)
		return false
	})
	r := thief.guess(owner, "green sofa on a monday").wants(14, "nothing is counted twice")
	if a := r.json().Error.Attempts; a == nil || a.Counted {
		t.Errorf("it says that it was counted: %s", r.out)
	}
	s.back.onData(nil)
	s.startVault(t)
	owner.wantLeft(9) // counted, and durable before the answer left
	thief.guess(owner, "green sofa on a monday").wants(11, `"left": 9`)
	owner.wantLeft(9)
	thief.guess(owner, "yellow sofa on a friday").wants(11, `"left": 8`)
	owner.wantLeft(8)
}

// vaultd is killed before the attempt reaches it: nothing was counted.
func TestVaultKilledBeforeTheRequest(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	s.back.onData(func(up bool, data []byte) bool {
		if !up || len(data) < requestSize/2 {
			return true
		}
		s.vault.end(syscall.SIGKILL)
		return false
	})
	thief.guess(owner, "green sofa on a monday").wants(14)
	s.back.onData(nil)
	s.startVault(t)
	owner.wantLeft(10)
	thief.guess(owner, "green sofa on a monday").wants(11, `"left": 9`)
	thief.restore(thief.path("out"), owner, "blue sofa on a tuesday").wants(0)
	owner.wantLeft(10)
}

// killer asks for kills of vaultd while sealed blocks pass, a limited number of them.
type killer struct {
	mu    sync.Mutex
	left  int
	sure  int // of the first of them
	kills chan struct{}
}

// onData has vaultd killed with every second block or so: before it arrives, after,
// or with its answer, which is lost.
func (k *killer) onData(up bool, data []byte) (pass bool) {
	if len(data) < answerSize {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 || k.sure == 0 && rand.N(2) == 0 {
		return true
	}
	k.left, k.sure = k.left-1, max(0, k.sure-1)
	k.kills <- struct{}{}
	return up && rand.N(2) == 0
}

// vaultd is killed again and again under guesses at three accounts: each guess counts
// once, however often it was sent.
func TestVaultKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const guesses, kills = 3, 12
	s := newSystem(t)
	owners, thieves := make([]*phone, 3), make([]*phone, 3)
	for i, handle := range []string{"ann", "bob", "cat"} {
		owners[i], thieves[i] = victim(t, s, handle)
	}
	k := &killer{left: kills, sure: 3, kills: make(chan struct{}, kills)}
	s.back.onData(k.onData)
	var all sync.WaitGroup
	for i := range owners {
		all.Go(func() { guessUntilAnswered(t, owners[i], thieves[i], guesses) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	killed := 0
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-k.kills:
			killed++
			s.vault.end(syscall.SIGKILL)
			s.startVault(t)
		}
	}
	if killed < 3 {
		t.Errorf("killed only %d times", killed)
	}
	s.back.onData(nil)
	for _, owner := range owners {
		owner.wantLeft(10 - guesses)
	}
}

// guessUntilAnswered makes so many different guesses. One that was not answered is
// the same attempt when it is made again.
func guessUntilAnswered(t *testing.T, owner, thief *phone, guesses int) {
	for i := range guesses {
		password := "sofa number " + string(rune('a'+i)) + " of the week"
		for code := 14; code != 11; {
			if code = thief.guess(owner, password).code; code != 11 && code != 14 {
				t.Errorf("a guess ended with %d", code)
				return
			}
		}
	}
}

// vaultd ends when it is told to, and is not there for a while.
func TestVaultDown(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ann := s.newPhone(t, "ann@mail.example")
	ann.enable(folder(t), "blue sofa on a tuesday")
	if code := s.vault.end(syscall.SIGTERM); code != 0 {
		t.Errorf("vaultd ended with %d on SIGTERM", code)
	}
	ann.run("vault", "status").wants(14, "server unreachable", "nothing is counted twice")
	ann.run("backup").wants(0) // does not need the vault
	if code := s.chat.end(syscall.SIGTERM); code != 0 {
		t.Errorf("chatd ended with %d on SIGTERM", code)
	}
	ann.run("vault", "status").wants(14, "server unreachable, nothing counted")
	r := ann.run("password", "check", "--vault", "--password-file", ann.secret("green sofa on a monday"), "--json").wants(14, "server unreachable, nothing counted")
	if j := r.json(); j.Error == nil || j.Error.Code != "not-counted" || j.Error.Attempts == nil || j.Error.Attempts.Counted {
		t.Errorf("--json says %s", r.out)
	}
	s.startChat(t)
	if status, _ := s.chat.look("/healthz"); status != 200 {
		t.Errorf("chatd without a vault: /healthz %d", status)
	}
	if status, body := s.chat.look("/readyz"); status != 503 {
		t.Errorf("chatd without a vault: /readyz %d %s", status, body)
	}
	ann.run("vault", "status").wants(14)
	s.startVault(t)
	s.chat.awaitReady(t)
	ann.wantLeft(10)
}

// chatd is killed with the answer in its hands, and another chatd takes its place at
// the same address: the same command of the client goes on.
func TestAnotherChatdTakesOver(t *testing.T) {
	t.Parallel()
	s := prepared(t)
	second := s.relay(t)
	s.startAll(t)
	second.run(t)
	second.awaitReady(t)
	owner, thief := victim(t, s, "ann")
	s.front.onData(func(up bool, data []byte) bool {
		if up || len(data) < answerSize {
			return true
		}
		s.front.onData(nil)
		s.chat.end(syscall.SIGKILL)
		s.front.point(second.listen)
		return false
	})
	thief.guess(owner, "green sofa on a monday").wants(11, `"left": 9`)
	if s.chat.running() {
		t.Fatal("the first chatd was not killed")
	}
	owner.wantLeft(9)

	// The first one comes back: its audit log goes on where it was.
	s.startChat(t)
	s.chat.awaitReady(t)
	owner.wantLeft(9)
	for _, d := range []*daemon{s.chat, second} {
		s.command(t, "chatd", "check-audit", filepath.Join(filepath.Dir(d.config), "audit.jsonl"))
	}
}
