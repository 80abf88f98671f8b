package cells

import "container/heap"

// Agenda is names, each with a time when something is due for it. The zero Agenda
// is empty. Adding and taking cost the logarithm of how many there are.
type Agenda struct{ h entries }

type entry struct {
	at   uint64
	name Name
}

// Add adds an entry. A name may have several.
func (a *Agenda) Add(at uint64, n Name) { heap.Push(&a.h, entry{at, n}) }

// Due reports whether an entry's time has come.
func (a *Agenda) Due(now uint64) bool { return len(a.h) > 0 && a.h[0].at <= now }

// Take removes the earliest entry and all that are the same, and returns its name.
// There must be one.
func (a *Agenda) Take() Name {
	first := heap.Pop(&a.h).(entry)
	for len(a.h) > 0 && a.h[0] == first {
		heap.Pop(&a.h)
	}
	return first.name
}

// Len returns how many entries there are.
func (a *Agenda) Len() int { return len(a.h) }

// entries is a heap, the earliest first.
type entries []entry

func (e entries) Len() int           { return len(e) }
func (e entries) Less(i, j int) bool { return e[i].at < e[j].at }
func (e entries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)        { *e = append(*e, x.(entry)) }

func (e *entries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
