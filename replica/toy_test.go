package replica_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// A toy is a machine that remembers every entry, in order. An entry that begins
// with "fail" or "panic" does that.
type toy struct {
	entries  []string
	members  []replica.Member // nil: member 1 alone
	released *int
	gate     chan struct{} // nil, or what each Apply waits for
	version  uint32        // 2: it reads entries that begin with "v2"
}

var errToy = errors.New("the toy is broken")

func newToy() replica.Machine { return &toy{} }

func (m *toy) Apply(entry []byte, _ bool) (any, error) {
	if m.gate != nil {
		<-m.gate
	}
	switch {
	case bytes.HasPrefix(entry, []byte("fail")):
		return nil, errToy
	case bytes.HasPrefix(entry, []byte("panic")):
		panic("the toy panics")
	case m.Needs(entry, false) == replica.Unknown:
		return nil, replica.ErrNewer
	}
	m.entries = append(m.entries, string(entry))
	return len(m.entries), nil
}

// Change takes "add 4" (as a learner), "promote 4", "demote 4" and "remove 4", and
// refuses what makes no sense.
func (m *toy) Change(signed []byte) (any, error) {
	m.entries = append(m.entries, string(signed))
	var verb string
	var number uint64
	if _, err := fmt.Sscanf(string(signed), "%s %d", &verb, &number); err != nil {
		return "refused", nil
	}
	all := slices.Clone(m.Members())
	i := slices.IndexFunc(all, func(x replica.Member) bool { return x.Number == number })
	switch {
	case verb == "add" && i < 0:
		all = append(all, replica.Member{Number: number, Learner: true})
	case verb == "promote" && i >= 0:
		all[i].Learner = false
	case verb == "demote" && i >= 0:
		all[i].Learner = true
	case verb == "remove" && i >= 0:
		all = slices.Delete(all, i, i+1)
	default:
		return "refused", nil
	}
	slices.SortFunc(all, func(a, b replica.Member) int { return cmp.Compare(a.Number, b.Number) })
	if !slices.ContainsFunc(all, func(x replica.Member) bool { return !x.Learner }) {
		return "refused", nil
	}
	m.members = all
	return "done", nil
}

func (m *toy) Members() []replica.Member {
	if m.members == nil {
		return []replica.Member{{Number: 1}}
	}
	return m.members
}

// Checkpoint's picture begins with the members, if they are not member 1 alone.
func (m *toy) Checkpoint() replica.Checkpoint {
	entries := m.entries[:len(m.entries):len(m.entries)]
	if m.members != nil {
		var head strings.Builder
		head.WriteString(toyMembers)
		for _, x := range m.members {
			fmt.Fprintf(&head, " %d/%t", x.Number, x.Learner)
		}
		entries = append([]string{head.String()}, entries...)
	}
	return &toyPicture{entries, m.released}
}

const toyMembers = "\x00members"

type toyPicture struct {
	entries  []string
	released *int
}

func (p *toyPicture) WriteTo(w io.Writer) (n int64, err error) {
	for _, e := range p.entries {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(e)))
		m, err := w.Write(append(b, e...))
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (p *toyPicture) Release() {
	if p.released != nil {
		*p.released++
	}
}

func (m *toy) Restore(r io.Reader) error {
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		b := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		if list, ok := strings.CutPrefix(string(b), toyMembers); ok && len(m.entries) == 0 {
			m.members = parseMembers(list)
			continue
		}
		if m.Needs(b, false) == replica.Unknown {
			return replica.ErrNewer
		}
		m.entries = append(m.entries, string(b))
	}
}

// Needs says that what begins with "v2" is of version 2.
func (m *toy) Needs(entry []byte, _ bool) uint32 {
	switch {
	case !bytes.HasPrefix(entry, []byte("v2")):
		return 1
	case m.version < 2:
		return replica.Unknown
	}
	return 2
}

// Least is 2 after the change "least".
func (m *toy) Least() uint32 {
	if slices.Contains(m.entries, "least") {
		return 2
	}
	return 0
}

func parseMembers(list string) (members []replica.Member) {
	for _, f := range strings.Fields(list) {
		var x replica.Member
		if _, err := fmt.Sscanf(f, "%d/%t", &x.Number, &x.Learner); err != nil {
			panic(err)
		}
		members = append(members, x)
	}
	return members
}

// entriesOf reads the machine.
func entriesOf(t testing.TB, r *replica.Replica) (entries []string) {
	t.Helper()
	err := r.Read(t.Context(), func(m replica.Machine) { entries = slices.Clone(m.(*toy).entries) })
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// wantEntries checks the machine's entries, genesis left out.
func wantEntries(t testing.TB, r *replica.Replica, want ...string) {
	t.Helper()
	got := entriesOf(t, r)
	if len(got) == 0 || got[0] != genesis || !slices.Equal(got[1:], want) {
		t.Errorf("machine holds %.300q, want genesis and %.300q", got, want)
	}
}

// unique fails when an entry was applied twice, and says which are there.
func unique(t testing.TB, entries []string) map[string]bool {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range entries {
		if seen[e] {
			t.Errorf("%q was applied twice", e)
		}
		seen[e] = true
	}
	return seen
}

// wantAll fails when one of the acknowledged is missing, or when one is there that was never proposed.
func wantAll(t testing.TB, r *replica.Replica, acknowledged, unknown map[string]bool) {
	t.Helper()
	there := unique(t, entriesOf(t, r))
	for _, e := range slices.Sorted(maps.Keys(acknowledged)) {
		if !there[e] {
			t.Errorf("%q was acknowledged and is lost", e)
		}
	}
	for e := range there {
		if !acknowledged[e] && !unknown[e] && e != genesis {
			t.Errorf("%q was never proposed, or refused as not applied", e)
		}
	}
}

const genesis = "genesis"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func propose(t testing.TB, r *replica.Replica, entries ...string) {
	t.Helper()
	for _, e := range entries {
		if _, err := r.Propose(t.Context(), []byte(e)); err != nil {
			t.Fatalf("proposing %.40q: %v", e, err)
		}
	}
}

func numbered(prefix string, n int) (entries []string) {
	for i := range n {
		entries = append(entries, fmt.Sprintf("%s %d", prefix, i))
	}
	return entries
}
