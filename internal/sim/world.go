package sim

import (
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
)

// Durations in microseconds of virtual time.
const (
	millisecond = 1000
	second      = 1000 * millisecond
	minute      = 60 * second
)

// epoch is the date at which every run begins, in milliseconds since 1970.
const epoch = 1_800_000_000_000

// world is time, chance and what is going to happen. One thread.
type world struct {
	now    int64 // microseconds since the begin
	agenda agenda
	count  uint64 // of events, so that those of one moment keep their order
	random *rand.Rand

	digest uint64    // of all that happened
	trace  io.Writer // nil: nobody reads along
	failed *Failure  // the first breach
	muted  string    // an invariant whose breaches are not looked at
}

// Failure is a breach of what must hold.
type Failure struct {
	Invariant string // one of the names in this package
	Text      string
	At        int64 // microseconds of virtual time
}

// Error says what was found.
func (f *Failure) Error() string {
	return fmt.Sprintf("sim: %s: %s (at %d.%06d s)", f.Invariant, f.Text, f.At/second, f.At%second)
}

func newWorld(seed uint64, trace io.Writer) *world {
	return &world{random: rand.New(rand.NewPCG(seed, 0x6b656570)), trace: trace, digest: 14695981039346656037}
}

// event is something that is going to happen.
type event struct {
	at    int64
	count uint64
	do    func()
}

// agenda is a heap: what comes first stands first. Not container/heap, which boxes each event.
type agenda []event

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.count < o.count }

func (a *agenda) push(e event) {
	*a = append(*a, e)
	h := *a
	at := len(h) - 1
	for at > 0 && e.before(&h[(at-1)/2]) {
		h[at] = h[(at-1)/2]
		at = (at - 1) / 2
	}
	h[at] = e
}

func (a *agenda) pop() event {
	h := *a
	first, e := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	*a = h
	at := 0
	for child := 1; child < len(h); child = 2*at + 1 {
		if child+1 < len(h) && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&e) {
			break
		}
		h[at], at = h[child], child
	}
	if len(h) > 0 {
		h[at] = e
	}
	return first
}

// after lets something happen later.
func (w *world) after(d int64, do func()) {
	w.count++
	w.agenda.push(event{w.now + max(d, 0), w.count, do})
}

// run lets happen what is due until then, or until the first breach.
func (w *world) run(until int64) {
	for len(w.agenda) > 0 && w.agenda[0].at <= until && w.failed == nil {
		e := w.agenda.pop()
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = max(w.now, until)
}

// note adds something that happened to the digest, and to the trace.
func (w *world) note(what string, values ...uint64) {
	const prime = 1099511628211
	h := (w.digest ^ uint64(w.now)) * prime
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * prime
	}
	for _, v := range values {
		h = (h ^ v) * prime
	}
	w.digest = h ^ h>>29
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%4d.%06d %s %s\n", w.now/second, w.now%second, what, fmt.Sprint(append([]uint64(nil), values...)))
	}
}

// say adds words to the trace, for people.
func (w *world) say(words ...any) {
	if w.trace != nil {
		fmt.Fprintln(w.trace, append([]any{"    "}, words...)...)
	}
}

// sum is a short digest of bytes for the trace.
func sum(b []byte) uint64 { return uint64(crc32.Checksum(b, castagnoli)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fail records the first breach; nothing happens after it.
func (w *world) fail(invariant, format string, args ...any) {
	if w.failed == nil && invariant != w.muted {
		w.failed = &Failure{Invariant: invariant, Text: fmt.Sprintf(format, args...), At: w.now}
		w.note("FAILED " + w.failed.Error())
	}
}

// The chances.

func (w *world) chance(p float64) bool { return p > 0 && w.random.Float64() < p }

// between is a random number from a to b, both possible.
func (w *world) between(a, b int64) int64 { return a + w.random.Int64N(b-a+1) }

func pick[T any](w *world, from []T) T { return from[w.random.IntN(len(from))] }
