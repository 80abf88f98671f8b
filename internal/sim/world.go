package sim

import (
	"container/heap"
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

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].count < a[j].count
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = event{}
	*a = (*a)[:last]
	return e
}

// after lets something happen later.
func (w *world) after(d int64, do func()) {
	w.count++
	heap.Push(&w.agenda, event{w.now + max(d, 0), w.count, do})
}

// run lets happen what is due until then, or until the first breach.
func (w *world) run(until int64) {
	for len(w.agenda) > 0 && w.agenda[0].at <= until && w.failed == nil {
		e := heap.Pop(&w.agenda).(event)
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
