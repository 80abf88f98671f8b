package outage_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// Five data centers, and everything that happens to them. What was acknowledged stays,
// nobody gets an eleventh guess, and what everybody was told could have come from one
// vault. How long service was away is printed, and written to a table in bench by
// make outages: a busy machine would make a bound on it a matter of luck.
func TestOutages(t *testing.T) {
	if !mounttest.Networks(t, environment()...) {
		return
	}
	s := newSystem(t, programs)
	l := startLoad(t, s)
	chosen := regexp.MustCompile(*only)
	for range *times {
		for _, o := range outages {
			if !chosen.MatchString(o.name) {
				continue
			}
			l.kind = o.name
			if t.Run(o.name, func(t *testing.T) { o.happen(t, s, l) }); t.Failed() {
				break
			}
			s.awaitTogether(t)
		}
		l.writeTable(t)
	}
	l.finish()
}

type outage struct {
	name   string
	happen func(t *testing.T, s *system, l *load)
}

var outages = []outage{
	{"nothing", nothing},
	{"the leader is killed", leaderKilled},
	{"a data center is lost", siteLost},
	{"two are killed", twoKilled},
	{"three are killed", threeKilled},
	{"the leader's cable is cut", cableCut},
	{"the leader is parted with one other", parted},
	{"the leader hears nobody", deaf},
	{"the leader sleeps", asleep},
	{"the leader sleeps and wakes alone", wakesAlone},
	{"a disk is full", diskFull},
	{"the leader's disk is full", leaderFull},
	{"one after the other starts anew", rolling},
}

// told keeps and prints how long service was away, and how much of that passed until one of those
// that are left led, where the leader is lost.
func told(t *testing.T, l *load, since time.Time, left ...int) {
	t.Helper()
	led := make(chan time.Duration, 1)
	go func() { led <- l.s.leads(since, left) }()
	a := absence{kind: l.kind, since: since, back: l.back(t, since), leaderGone: len(left) > 0}
	if a.leaderGone {
		a.led = <-led
	}
	l.absences = append(l.absences, a)
	t.Logf("the first answer to an attempt made after it: %v after it; a leader: %v after it", a.back.Round(time.Millisecond), a.led.Round(time.Millisecond))
}

var leads = regexp.MustCompile(`(?m)^vaultd_group_leads.* 1$`)

// leads waits until somebody leads, and gives the time that passed.
func (s *system) leads(since time.Time, among []int) time.Duration {
	for len(among) > 0 && time.Since(since) < patience {
		for _, n := range among { // /status would ask those that are lost
			if s.vaults[n-1].says(leads) {
				return time.Since(since)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return patience
}

func nothing(t *testing.T, _ *system, l *load) {
	since := time.Now()
	l.back(t, since.Add(3*time.Second))
	took := l.answered(since)
	t.Logf("%d attempts, half within %v, the longest %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}

func leaderKilled(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	s.vaults[n-1].kill(t)
	told(t, l, time.Now(), others(n)...)
	s.leader(t, others(n)...)
	s.vaults[n-1].run(t)
}

// The first site has a chatd, too: clients go on with the other.
func siteLost(t *testing.T, s *system, l *load) {
	s.vaults[0].kill(t)
	s.chats[0].kill(t)
	s.sites[0].unplug(t)
	told(t, l, time.Now())
	s.sites[0].plug(t)
	s.vaults[0].run(t)
	s.chats[0].run(t)
	s.chats[0].awaitReady(t)
}

func twoKilled(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	m := 1 + n%5
	s.vaults[n-1].kill(t)
	s.vaults[m-1].kill(t)
	told(t, l, time.Now(), others(n, m)...)
	s.vaults[m-1].run(t)
	s.vaults[n-1].run(t)
}

// Without a majority nobody is answered; and with one, everything goes on.
func threeKilled(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	gone := []int{n, 1 + n%5, 1 + (n+1)%5}
	for _, i := range gone {
		s.vaults[i-1].kill(t)
	}
	since := time.Now()
	time.Sleep(3 * time.Second)
	from := int64(since.Sub(l.start))
	l.mu.Lock()
	for _, d := range l.attempts {
		if d.began > from {
			t.Errorf("an attempt was answered %v by two of five", d.code)
		}
	}
	l.mu.Unlock()
	back := time.Now()
	for _, i := range gone {
		s.vaults[i-1].run(t)
	}
	told(t, l, back)
}

func cableCut(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	s.sites[n-1].unplug(t)
	since := time.Now()
	told(t, l, since, others(n)...)
	s.leader(t, others(n)...)
	s.sites[n-1].plug(t)
}

func parted(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	few := []int{n, 1 + (n+1)%5} // not both sites that have a chatd
	w := l.witness(t, few...)
	s.wide.part(few, others(few...))
	told(t, l, time.Now(), others(few...)...)
	s.leader(t, others(few...)...)
	s.heal(t, w)
}

func deaf(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	w := l.witness(t, n)
	s.wide.deafen(others(n), n)
	told(t, l, time.Now(), others(n)...)
	s.leader(t, others(n)...)
	s.heal(t, w)
}

// heal lets everything pass again, after some attempts that those who are cut off know nothing of.
func (s *system) heal(t *testing.T, w *witness) {
	t.Helper()
	time.Sleep(2 * pace)
	s.wide.heal()
	w.end(t, time.Now())
}

// The leader is stopped, and when it goes on it believes that it leads.
func asleep(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	w := l.witness(t, n)
	sleeps(t, s, l, n)
	w.end(t, time.Now())
}

// Nor does anybody tell it better for a while.
func wakesAlone(t *testing.T, s *system, l *load) {
	n := s.leader(t, everywhere...)
	w := l.witness(t, n)
	s.wide.part([]int{n}, others(n))
	sleeps(t, s, l, n)
	s.heal(t, w)
}

func sleeps(t *testing.T, s *system, l *load, n int) {
	t.Helper()
	s.vaults[n-1].signal(t, syscall.SIGSTOP)
	since := time.Now()
	told(t, l, since, others(n)...)
	s.leader(t, others(n)...)
	time.Sleep(time.Until(since.Add(5 * time.Second)))
	s.vaults[n-1].signal(t, syscall.SIGCONT)
	l.back(t, time.Now())
}

// fill takes all room that is left on the disk of a folder.
func fill(t *testing.T, folder string) (file string) {
	t.Helper()
	file = filepath.Join(folder, "filler")
	f := must(os.Create(file))
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file
}

// The third has no room on its disk for another checkpoint and another log, and is told to
// make them. The others go on, whoever leads; and so does it when there is room.
func diskFull(t *testing.T, s *system, l *load) {
	v := s.vaults[2]
	filler := fill(t, s.path("vault3", "state"))
	if out, code := v.site.try(t, "vaultd", "checkpoint", "--config", v.config); code == 0 {
		t.Errorf("a checkpoint was made without room: %s", out)
	}
	since := time.Now()
	told(t, l, since)
	l.back(t, since.Add(2*time.Second))
	check(t, os.Remove(filler))
	v.site.command(t, "vaultd", "checkpoint", "--config", v.config)
}

// The third leads, and its disk has room for a checkpoint, but not for the log after it: what it
// is asked next it has no room for. It hands the leadership over, and takes nothing until there
// is room.
func leaderFull(t *testing.T, s *system, l *load) {
	v, folder := s.vaults[2], s.path("vault3", "state")
	s.letLead(t, 3)
	v.site.command(t, "vaultd", "checkpoint", "--config", v.config)
	filler := fill(t, folder)
	size := must(os.Stat(filler)).Size()
	check(t, os.Truncate(filler, size-checkpointSize(t, folder)-logFile/2))
	release := hold(t, folder) // else the checkpoint makes the room of the log before it free
	v.site.command(t, "vaultd", "checkpoint", "--config", v.config)
	await(t, "no room for the log", func() bool { return v.says(noRoom) })
	since := time.Now()
	told(t, l, since, others(3)...)
	s.leader(t, others(3)...)
	l.back(t, since.Add(2*time.Second))
	if !v.says(noRoom) || v.says(leads) {
		t.Error("without room, the third takes entries or leads")
	}
	release()
	check(t, os.Remove(filler))
	await(t, "room for the log", func() bool { return !v.says(noRoom) })
}

// checkpointSize is that of the one in a vaultd's folder. The next is hardly longer.
func checkpointSize(t *testing.T, folder string) (size int64) {
	t.Helper()
	for _, file := range must(filepath.Glob(filepath.Join(folder, "checkpoint-*"))) {
		size = max(size, must(os.Stat(file)).Size())
	}
	return size
}

// logFile is how long a file of a vaultd's log is: it is made at once.
const logFile = 1 << 20

var noRoom = regexp.MustCompile(`(?m)^vaultd_group_no_room.* 1$`)

// says looks for a line of a server's metrics.
func (s *server) says(line *regexp.Regexp) bool {
	_, body := s.look("/metrics")
	return line.Match(body)
}

// hold opens the files of a folder: they keep their room when they are removed, until release.
func hold(t *testing.T, folder string) (release func()) {
	t.Helper()
	var held []*os.File
	for _, e := range must(os.ReadDir(folder)) {
		held = append(held, must(os.Open(filepath.Join(folder, e.Name()))))
	}
	return func() {
		for _, f := range held {
			f.Close()
		}
	}
}

func rolling(t *testing.T, s *system, l *load) {
	first := s.leader(t, everywhere...)
	since := time.Now()
	for _, n := range append(others(first), first) {
		s.restart(t, n)
	}
	for _, c := range s.chats {
		c.stop(t)
		c.run(t)
		c.awaitReady(t)
	}
	took := l.answered(since)
	if len(took) == 0 {
		t.Fatal("nobody was answered")
	}
	slices.Reverse(took)
	t.Logf("in %v %d attempts were answered, half within %v, the longest took %v", time.Since(since).Round(time.Millisecond), len(took),
		took[len(took)/2].Round(time.Millisecond), took[0].Round(time.Millisecond))
}
