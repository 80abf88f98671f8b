package vaultd

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/peer"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// Status is what the operator is told. Times are RFC 3339 in UTC.
type Status struct {
	Fleet    string   `json:"fleet"`
	Member   uint64   `json:"member"` // this machine's number
	Ready    bool     `json:"ready"`
	Draining bool     `json:"draining,omitempty"`
	Halted   string   `json:"halted,omitempty"`   // why this machine answers no more
	Problems []string `json:"problems,omitempty"` // what people should look at, a line each
	Insecure []string `json:"insecure"`           // what is insecure, a line each
	Time     string   `json:"time"`               // the vault's: the quorum's
	Host     string   `json:"host_time"`          // what this machine says the time is
	// Accounts is the number of records and tombstones here, rounded up to a thousand:
	// the exact one, read every second, would tell whose record was destroyed.
	Accounts int            `json:"accounts_at_most"`
	Bytes    uint64         `json:"account_bytes"` // memory, rounded up to a MiB
	InFlight int            `json:"in_flight"`
	Queued   int            `json:"queued"`
	Serial   uint64         `json:"bundle_serial"`
	Keys     []KeyStatus    `json:"channel_keys"`
	Replica  ReplicaStatus  `json:"replica"` // of the root group
	Roster   RosterStatus   `json:"roster"`
	Members  []MemberStatus `json:"members"`
	Groups   []GroupStatus  `json:"groups"` // that this machine is a member of
}

// KeyStatus is one channel key of the bundle.
type KeyStatus struct {
	ID        string `json:"id"`
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
}

// ReplicaStatus is this machine's replica of one group.
type ReplicaStatus struct {
	Member     uint64 `json:"member"`
	Role       string `json:"role"` // leader, follower, learner, candidate, empty, halted
	Leader     uint64 `json:"leader"`
	Term       uint64 `json:"term"`
	Committed  uint64 `json:"committed"`
	Applied    uint64 `json:"applied"`
	LogBytes   int64  `json:"log_bytes"`
	Checkpoint uint64 `json:"checkpoint_at"`
	Problem    string `json:"checkpoint_problem,omitempty"`
	Anchor     string `json:"anchor"`
	Protects   string `json:"anchor_protects"`
	Counter    uint64 `json:"anchor_counter"`
	Dropped    uint64 `json:"messages_dropped"`
}

// RosterStatus is how the fleet is governed.
type RosterStatus struct {
	Serial     uint64 `json:"serial"`
	Operators  int    `json:"operators"`
	Quorum     uint8  `json:"quorum"`
	Tolerate   uint8  `json:"tolerate"`
	MinVersion uint32 `json:"min_version"`
	Groups     uint32 `json:"groups"`
}

// MemberStatus is one machine of the fleet: what the roster says of it, what the links
// do, and, if it answered within a second, what it says itself.
type MemberStatus struct {
	Number     uint64  `json:"number"`
	Name       string  `json:"name"`
	DataCenter string  `json:"data_center"`
	Address    string  `json:"address"`
	Learner    bool    `json:"learner"`
	Leads      bool    `json:"leads"`  // the root group, as far as is known here
	Active     bool    `json:"active"` // heard of within an election timeout; all are, as far as it is known, to one that does not lead
	Match      uint64  `json:"match"`  // 0 unless this machine leads
	Lag        uint64  `json:"lag"`    // entries, 0 unless this machine leads
	Link       string  `json:"link"`   // up, down, or self
	Since      string  `json:"link_since,omitempty"`
	RTT        float64 `json:"rtt_ms"`
	Problem    string  `json:"link_problem,omitempty"`
	Report     *Report `json:"report,omitempty"`
	// Groups are those that are placed on it, and how it stands in each.
	Groups []MemberGroup `json:"groups"`
}

// Report is what a member says of itself to the others.
type Report struct {
	Version  uint32   `json:"version"`
	Role     string   `json:"role"`
	Term     uint64   `json:"term"`
	Applied  uint64   `json:"applied"`
	Anchor   string   `json:"anchor"`
	Counter  uint64   `json:"anchor_counter"`
	Ready    bool     `json:"ready"`
	Draining bool     `json:"draining,omitempty"`
	Host     string   `json:"host_time"`
	Serial   uint64   `json:"roster_serial"`
	Accounts int      `json:"accounts_at_most"`
	Bytes    uint64   `json:"account_bytes"`
	Queued   int      `json:"queued"`
	Problems []string `json:"problems,omitempty"`
	// NoRoom are the groups whose log has no room on this member's disk, and Lacking the
	// voters of groups which this member leads that it cannot count on.
	NoRoom  []uint32      `json:"no_room,omitempty"`
	Lacking []Lacking     `json:"lacking,omitempty"`
	Groups  []GroupReport `json:"groups,omitempty"`
}

// Lacking is a voter that acknowledges nothing now, as the leader of the group sees it.
type Lacking struct {
	Group  uint32 `json:"group"`
	Member uint64 `json:"member"`
	Why    string `json:"why"` // as in "member 3 is not heard of"
}

// GroupStatus is one group of this machine.
type GroupStatus struct {
	Group   uint32        `json:"group"`
	Replica ReplicaStatus `json:"replica"`
	Members []GroupMember `json:"members"`
	Serial  uint64        `json:"roster_serial"`
	Secret  SecretStatus  `json:"secret"`
}

// SecretStatus is how this machine stands with a group's secret, which changes when a
// member left.
type SecretStatus struct {
	Generation uint64 `json:"generation"`        // of the group's; 0: the one that it was made with
	Behind     bool   `json:"behind,omitempty"`  // this machine does not have it, or not yet
	Turning    bool   `json:"turning,omitempty"` // the one before serves members that do not have the new one yet
	Due        bool   `json:"due,omitempty"`     // a member left that knows it
	Problem    string `json:"problem,omitempty"`
}

// GroupMember is one member of a group, as this machine sees it.
type GroupMember struct {
	Number  uint64 `json:"number"`
	Learner bool   `json:"learner"`
	Active  bool   `json:"active"`
	Match   uint64 `json:"match"`
	Lag     uint64 `json:"lag"`
	Version uint32 `json:"version"` // that it told last; 0: not heard since this machine started
	Forgot  uint64 `json:"forgot"`  // messages that showed that it lacks what it had acknowledged
}

// Status returns a picture of the server and of the fleet as it is known here. It
// asks the other members, for a second at most.
func (s *Server) Status(ctx context.Context) Status {
	r, root := s.known.Load(), s.root().replica.Status()
	own := s.report()
	st := Status{
		Fleet: fleet.FormatID(s.fleet), Member: s.self, Ready: own.Ready, Draining: own.Draining, Problems: own.Problems,
		Insecure: append([]string{}, s.warns...), Time: utc(s.now()), Host: own.Host,
		Accounts: own.Accounts, Bytes: own.Bytes, InFlight: s.gate.inFlight(), Queued: own.Queued,
		Keys: []KeyStatus{}, Replica: replicaStatus(root), Roster: rosterStatus(r), Groups: s.groupsStatus(),
		Members: s.members(ctx, r, root, own),
	}
	if err := s.halted(); err != nil {
		st.Halted = err.Error()
	}
	bundle, serial := s.keys.signed()
	st.Serial = serial
	if b, err := fleet.Open(bundle, s.fleet); err == nil {
		for _, k := range b.Keys {
			id := k.Key.ID()
			st.Keys = append(st.Keys, KeyStatus{hex.EncodeToString(id[:]), utc(k.NotBefore), utc(k.NotAfter)})
		}
	}
	return st
}

// report is what this member says of itself.
func (s *Server) report() *Report {
	root := s.root().replica.Status()
	accounts, bytes := s.capacity()
	noRoom, lacking := s.counts()
	return &Report{
		Version: s.config.version, Role: root.Role, Term: root.Term, Applied: root.Applied, Anchor: root.Anchor.Name, Counter: root.Batch,
		Ready: s.ready(), Draining: s.draining.Load(), Host: utc(s.time.now()), Serial: s.known.Load().Serial,
		Accounts: accounts, Bytes: bytes, Queued: int(s.gate.waiting.Load()), Problems: s.problems(),
		NoRoom: noRoom, Lacking: lacking, Groups: s.reportGroups(),
	}
}

// counts says in which groups this member acknowledges nothing, and, of those it leads,
// which other voters do not.
func (s *Server) counts() (noRoom []uint32, lacking []Lacking) {
	for _, g := range s.groups.list() {
		if g.room() != nil {
			noRoom = append(noRoom, g.number)
		}
		st := g.replica.Status()
		for _, m := range st.Members {
			if why := lacks(m); st.Role == "leader" && !m.Learner && why != "" {
				lacking = append(lacking, Lacking{g.number, m.Number, why})
			}
		}
	}
	return noRoom, lacking
}

// problems are what people should look at.
func (s *Server) problems() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if d := s.skew(); d.Abs() > maxSkew && s.root().led() {
		say("clock: this machine's time is %v %s the quorum's: set the host's date right and restart vaultd; waits and tokens go by the quorum's time", d.Abs().Round(time.Second), aheadOrBehind(d))
	}
	if s.removed.Load() {
		say("removed: %v", ErrRemoved)
	}
	if s.disbelieved != nil {
		say("clock: the host's date is not believed: %v", s.disbelieved)
	}
	list = append(list, s.unjoinedProblems(s.known.Load())...)
	for _, g := range s.groups.list() {
		st := g.replica.Status()
		if d := g.replica.Stalled(); st.Halted == nil && d > maxStall {
			say("group %d: no step has ended for %v: the disk or the anchor hangs, and this member counts as one that is down", g.number, d.Round(time.Second))
		}
		switch {
		case st.Halted != nil || st.Leader != 0:
		case !s.belongs(s.known.Load(), g.number):
			say("group %d: this machine was taken out of it, and goes on until a majority of its members say that the group knows", g.number)
		default:
			say("group %d: no leader is known here: a majority of its voters is down or out of reach, or an election is under way", g.number)
		}
		if err := g.room(); err != nil {
			say("group %d: this member takes nothing new and counts as one that is down, until there is room: %v", g.number, err)
		}
		if st.CheckpointError != nil {
			say("group %d: the last checkpoint failed: %v", g.number, st.CheckpointError)
		}
		if is := g.secretStatus(); is.Problem != "" {
			say("group %d: the group's secret: %s", g.number, is.Problem)
		}
		for _, m := range st.Members {
			if m.Forgot > 0 {
				say("group %d: member %d has forgotten entries it acknowledged: its disk and its anchor were put back; remove it, and add the machine under a new number", g.number, m.Number)
			}
		}
	}
	return list
}

func aheadOrBehind(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

func replicaStatus(r replica.Status) ReplicaStatus {
	st := ReplicaStatus{
		Member: r.Member, Role: r.Role, Leader: r.Leader, Term: r.Term, Committed: r.Committed, Applied: r.Applied, LogBytes: r.LogBytes,
		Checkpoint: r.Checkpoint, Anchor: r.Anchor.Name, Protects: r.Anchor.Protects, Counter: r.Batch, Dropped: r.Dropped,
	}
	if r.CheckpointError != nil {
		st.Problem = r.CheckpointError.Error()
	}
	return st
}

func rosterStatus(r *roster.Roster) RosterStatus {
	return RosterStatus{
		Serial: r.Serial, Operators: len(r.Operators), Quorum: r.Quorum, Tolerate: r.Tolerate, MinVersion: r.MinVersion, Groups: r.Groups,
	}
}

func (s *Server) groupsStatus() []GroupStatus {
	list := []GroupStatus{}
	for _, g := range s.groups.list() {
		st := g.replica.Status()
		one := GroupStatus{Group: g.number, Replica: replicaStatus(st), Members: []GroupMember{}, Secret: g.secretStatus()}
		for _, m := range st.Members {
			one.Members = append(one.Members, GroupMember{m.Number, m.Learner, m.Active, m.Match, m.Lag, m.Version, m.Forgot})
		}
		if r := g.roster(); r != nil {
			one.Serial = r.Serial
		}
		list = append(list, one)
	}
	return list
}

// members is the table of the fleet.
func (s *Server) members(ctx context.Context, r *roster.Roster, root replica.Status, own *Report) []MemberStatus {
	list := make([]MemberStatus, len(r.Members))
	links := s.links.Load()
	var all sync.WaitGroup
	for i, m := range r.Members {
		st := &list[i]
		*st = MemberStatus{Number: m.Number, Name: m.Name, DataCenter: m.DataCenter, Address: m.Address, Learner: m.Learner, Leads: m.Number == root.Leader, Link: "down"}
		switch {
		case m.Number == s.self:
			st.Link, st.Report, st.Active = "self", own, true
		case links != nil:
			all.Go(func() { st.Report = s.askReport(ctx, m.Number) })
		}
		for _, seen := range root.Members {
			if seen.Number == m.Number {
				st.Active, st.Match, st.Lag = seen.Active, seen.Match, seen.Lag
			}
		}
	}
	if links != nil {
		for _, l := range links.Status() {
			tellLink(list, l)
		}
	}
	all.Wait()
	inGroups(r, list)
	return list
}

func tellLink(list []MemberStatus, l peer.LinkStatus) {
	for i := range list {
		if st := &list[i]; st.Number == l.Number {
			st.Since, st.RTT, st.Problem = l.Since.UTC().Format(time.RFC3339), float64(l.RTT.Microseconds())/1000, l.Problem
			if l.Connected && l.Incoming {
				st.Link = "up"
			}
		}
	}
}

// askReport asks a member how it stands; nil when it does not say so in time.
func (s *Server) askReport(ctx context.Context, to uint64) *Report {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := s.ask(ctx, to, askReport, nil)
	if err != nil {
		return nil
	}
	return readReport(reply)
}

// readReport reads what a member says of itself, which may be a lie; nil for what is no report.
func readReport(reply []byte) *Report {
	r := new(Report)
	if json.Unmarshal(reply, r) != nil {
		return nil
	}
	r.Role, r.Anchor, r.Host = hearsay(r.Role), hearsay(r.Anchor), hearsay(r.Host)
	for i, problem := range r.Problems {
		r.Problems[i] = hearsay(problem)
	}
	for i := range r.Lacking {
		r.Lacking[i].Why = hearsay(r.Lacking[i].Why)
	}
	for i := range r.Groups {
		r.Groups[i].Role = hearsay(r.Groups[i].Role)
	}
	return r
}

// maxHearsay bounds what another member says of a thing, in bytes.
const maxHearsay = 500

// hearsay is a text of another member that people are shown: a short line in which no terminal
// finds an order.
func hearsay(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text[:min(len(text), maxHearsay)])
}

func utc(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339) }

// capacity is the number of records and tombstones of all groups here, rounded up to
// a thousand, and their memory in bytes, rounded up to a MiB.
func (s *Server) capacity() (accounts int, bytes uint64) {
	for _, g := range s.groups.list() {
		g.replica.Peek(func(m replica.Machine) {
			c := m.(*machine.Machine).State().Counts()
			accounts += int(c.Records + c.Tombstones)
			bytes += c.Bytes
		})
	}
	return (accounts + 999) / 1000 * 1000, (bytes + 1<<20 - 1) >> 20 << 20
}
