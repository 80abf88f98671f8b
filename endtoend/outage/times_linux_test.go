package outage_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is to be reached where the leader is lost: service is back in half of the outages, and in all.
const (
	targetHalf = time.Second
	targetAll  = 2 * time.Second
)

// absence is what one outage cost.
type absence struct {
	kind        string
	since       time.Time
	back        time.Duration // until the first answer to an attempt that began after it
	led         time.Duration // until one of those that were left led; 0: nobody looked
	leaderGone  bool
	longestWait time.Duration // of whoever asked before service was back
}

// longest is how long somebody waited who asked from a moment on and until service was back.
func (l *load) longest(a *absence) (took time.Duration) {
	from, to := int64(a.since.Sub(l.start)), int64(a.since.Add(a.back).Sub(l.start))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.attempts {
		if d.began >= from && d.began <= to {
			took = max(took, time.Duration(d.end-d.began))
		}
	}
	return took
}

// kinds sorts what happened by kind, in the order of the first of each.
func (l *load) kinds() (names []string, by map[string][]absence) {
	by = map[string][]absence{}
	for _, a := range l.absences {
		if by[a.kind] == nil {
			names = append(names, a.kind)
		}
		a.longestWait = l.longest(&a)
		by[a.kind] = append(by[a.kind], a)
	}
	return names, by
}

// half and longest of one column, in milliseconds; dashes where nobody looked.
func column(list []absence, of func(absence) time.Duration) (half, all time.Duration, text string) {
	var took []time.Duration
	for _, a := range list {
		took = append(took, of(a))
	}
	slices.Sort(took)
	half, all = took[(len(took)-1)/2], took[len(took)-1]
	if all == 0 {
		return 0, 0, "– | –"
	}
	return half, all, fmt.Sprintf("%d | %d", half.Milliseconds(), all.Milliseconds())
}

// table is the times so far, and whether they are what they should be.
func (l *load) table() string {
	var b strings.Builder
	b.WriteString("| what happens | times | a leader: p50, ms | longest | first answer: p50, ms | longest | who asked meanwhile waited, at most: p50, ms | longest | under 1 s, p50 | all under 2 s |\n|---|--:|--:|--:|--:|--:|--:|--:|---|---|\n")
	names, by := l.kinds()
	for _, kind := range names {
		list := by[kind]
		_, _, led := column(list, func(a absence) time.Duration { return a.led })
		half, all, back := column(list, func(a absence) time.Duration { return a.back })
		_, _, wait := column(list, func(a absence) time.Duration { return a.longestWait })
		met, allMet := "–", "–"
		if list[0].leaderGone {
			met, allMet = verdict(half, targetHalf), verdict(all, targetAll)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s |\n", kind, len(list), led, back, wait, met, allMet)
	}
	return b.String()
}

func verdict(is, most time.Duration) string {
	if is < most {
		return "met"
	}
	return "**not met**"
}

const tableHead = `# Outages, %s

Made by ` + "`%s`" + `. Machine: %d cores, %s. Commit: %s. Load of the machine during the run (1 minute, sampled after each round): %s.

Five ` + "`vaultd`" + ` and two ` + "`chatd`" + `, each a process of its own in a network namespace, with ways of 30 to 120 ms there and back added by a relay of TCP connections; some 30 people recover, guess, come and go meanwhile, each with one request at a time (endtoend/outage). Every history is held against a plain model at the end; this table is about time only.
The clock runs from the loss. *A leader*: until one of the members that are left leads. *First answer*: until the first answer, to anybody, of an attempt that began after the loss. *Who asked meanwhile*: of all attempts that began between the loss and the first answer, the one that took longest; people whose chatd is cut off, or is killed, go to the other one after 1 s, as the client does (client/relay.go, hasteTime); from there they go back after 1 s, where the client waits longer. One outage follows the other within seconds, so that a chatd may still pass over a member that is back.
Where a data center is lost the leader may be another's; of three that are killed the clock runs from their new start; a disk that is full is that of a follower that is told to make a checkpoint. These have no target.

`

// writeTable writes the times of the rounds so far to the file that is asked for.
func (l *load) writeTable(t *testing.T) {
	t.Helper()
	if *table == "" {
		return
	}
	busy := strings.Fields(string(must(os.ReadFile("/proc/loadavg"))))[0]
	l.busy = append(l.busy, busy)
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	head := fmt.Sprintf(tableHead, time.Now().Format(time.DateOnly), command(), runtime.NumCPU(), processor(), strings.TrimSpace(string(commit)), strings.Join(l.busy, ", "))
	check(t, os.WriteFile(*table, []byte(head+l.table()), 0o644))
}

// command is what makes such a table.
func command() string {
	if *only == "" {
		return fmt.Sprintf("make outages TIMES=%d", *times)
	}
	return fmt.Sprintf("go test -run '^TestOutages$' -timeout 60m ./endtoend/outage -args -times %d -only %q -table FILE", *times, *only)
}

func processor() string {
	text := string(must(os.ReadFile("/proc/cpuinfo")))
	_, rest, _ := strings.Cut(text, "model name")
	_, name, _ := strings.Cut(strings.SplitN(rest, "\n", 2)[0], ":")
	return strings.TrimSpace(name) + ", " + runtime.Version()
}
