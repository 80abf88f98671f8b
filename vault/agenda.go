package vault

import "container/heap"

// due is when to look at an account.
type due struct {
	at  uint64 // milliseconds
	rid rid
}

// agenda is a heap of what is due, the earliest first. For each account with a
// deadline it holds an entry that is no later. One that is there for nothing does
// no harm: the account is looked at.
type agenda []due

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(due)) }

func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

// note adds an entry when a deadline was set, or came nearer.
func (a *agenda) note(r rid, was, is uint64) {
	if is != 0 && (was == 0 || is < was) {
		heap.Push(a, due{is, r})
	}
}

// ripe reports whether something is due.
func (a agenda) ripe(now uint64) bool { return len(a) > 0 && a[0].at <= now }

// take removes the earliest entry, and others like it.
func (a *agenda) take() rid {
	d := heap.Pop(a).(due)
	for len(*a) > 0 && (*a)[0] == d {
		heap.Pop(a)
	}
	return d.rid
}
