package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"keepsake.example/internal/command"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

var statusCommand = command.Command[app, options]{
	Name: "status", Short: "how a running vaultd and its fleet stand",
	Long: `Asks the vaultd that runs with this configuration, through its admin address, how
it stands and what it sees of its fleet: a line for each member, with its role, how
far its log is behind (lag, in entries), its anchor, its version, what it holds, and
how the link to it is. Says how many voters may still be lost before service stops: one
that is down, behind, or has no room on its disk is lost already.
Any member can be asked. Exit code 8 when it does not answer, 11 when it has halted.`,
	Example: `  vaultd status --config /var/lib/vaultd/vaultd.toml
  vaultd status --admin 127.0.0.1:7444 --json`,
	Flags: adminFlags,
	Run:   (*app).status,
}

func adminFlags(f *flag.FlagSet, o *options) {
	configFlag(f, o)
	f.StringVar(&o.admin, "admin", "", "`ADDRESS` of the admin listener, in place of the configuration's")
}

// adminAddress is where to ask.
func adminAddress(o *options) (string, error) {
	if o.admin != "" {
		return o.admin, nil
	}
	c, err := readConfig(o.config)
	if err != nil {
		return "", err
	}
	return c.Admin, nil
}

func (a *app) status(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	word, err := getStatus(ctx, admin)
	if err != nil {
		return err
	}
	st := statusJSON{*word, []margin{}}
	for _, g := range st.Groups {
		st.Margins = append(st.Margins, marginOf(&st.Status, g))
	}
	if err := a.Emit(st, func(w io.Writer) { st.write(w) }); err != nil {
		return err
	}
	if st.Halted != "" {
		return command.Fail(exitHalted, "the replica has halted: "+st.Halted, "restart vaultd; if it halts again, look at the disk")
	}
	return nil
}

func getStatus(ctx context.Context, admin string) (*vaultd.Status, error) {
	text, err := get(ctx, "GET", admin, "/status")
	if err != nil {
		return nil, err
	}
	st := new(vaultd.Status)
	if err := json.Unmarshal(text, st); err != nil {
		return nil, fmt.Errorf("reading vaultd's answer: %w", err)
	}
	return st, nil
}

// statusJSON is a member's word, and what follows from it.
type statusJSON struct {
	vaultd.Status
	Margins []margin `json:"margins"`
}

// margin is how many voters a group can still lose, as seen from the member that was asked.
type margin struct {
	Group  uint32 `json:"group"`
	Voters int    `json:"voters"`
	Up     int    `json:"voters_up"` // those that can be counted on: linked, heard by the leader, not behind, with room
	Needed int    `json:"voters_needed"`
	// Lacking are the voters that are linked and cannot be counted on, and why.
	Lacking []string `json:"voters_lacking,omitempty"`

	secret vaultd.SecretStatus
}

func marginOf(st *vaultd.Status, g vaultd.GroupStatus) margin {
	up, lacks := map[uint64]bool{}, lacking(st.Members, g.Group)
	for _, m := range st.Members {
		up[m.Number] = m.Link != "down"
	}
	m := margin{Group: g.Group, secret: g.Secret}
	for _, member := range g.Members {
		if member.Learner {
			continue
		}
		m.Voters++
		switch why := lacks[member.Number]; {
		case !up[member.Number]:
		case why != "":
			m.Lacking = append(m.Lacking, fmt.Sprintf("member %d %s", member.Number, why))
		default:
			m.Up++
		}
	}
	m.Needed = roster.Needed(m.Voters, int(st.Roster.Tolerate))
	return m
}

// lacking says which members of a group cannot be counted on though they may be linked, and
// why: by what they say of themselves, and by what the leader says of them.
func lacking(members []vaultd.MemberStatus, group uint32) map[uint64]string {
	why := map[uint64]string{}
	for _, m := range members {
		if m.Report == nil {
			continue
		}
		for _, l := range m.Report.Lacking {
			if l.Group == group {
				why[l.Member] = l.Why
			}
		}
	}
	for _, m := range members {
		if m.Report != nil && slices.Contains(m.Report.NoRoom, group) {
			why[m.Number] = "has no room for its log"
		}
	}
	return why
}

func (m margin) String() string {
	text := fmt.Sprintf("%d of %d voters up, %d needed", m.Up, m.Voters, m.Needed)
	if len(m.Lacking) > 0 {
		text = fmt.Sprintf("%d of %d voters can be counted on (%s), %d needed", m.Up, m.Voters, strings.Join(m.Lacking, "; "), m.Needed)
	}
	switch {
	case m.Up < m.Needed:
		return text + ": NOTHING IS SERVED"
	case m.Up == m.Needed && m.Voters > m.Needed:
		return text + ": ONE MORE LOSS STOPS SERVICE"
	case m.Up == m.Needed:
		return text + ": no loss is survived"
	}
	return fmt.Sprintf("%s: %d more can be lost", text, m.Up-m.Needed)
}

func (st *statusJSON) write(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", name, command.OneLine(fmt.Sprintf(format, args...)))
	}
	row("fleet", "%s", st.Fleet)
	row("ready", "%s", st.readiness())
	row("time", "%s", st.Time)
	row("accounts", "at most %d, %d MiB", st.Accounts, st.Bytes>>20)
	row("requests", "%d in work, %d waiting", st.InFlight, st.Queued)
	r := st.Replica
	row("replica", "member %d, %s of term %d, applied %d of %d", r.Member, r.Role, r.Term, r.Applied, r.Committed)
	row("log", "%d KiB since the checkpoint at %d", r.LogBytes>>10, r.Checkpoint)
	if r.Problem != "" {
		row("checkpoint", "the last one failed: %s", r.Problem)
	}
	row("anchor", "%s, counter %d: %s", r.Anchor, r.Counter, r.Protects)
	row("bundle", "serial %d", st.Serial)
	for _, k := range st.Keys {
		row("channel key", "%s  %s to %s", k.ID, k.NotBefore, k.NotAfter)
	}
	g := st.Roster
	version := "any version"
	if g.MinVersion > 0 {
		version = fmt.Sprintf("version %d or newer", g.MinVersion)
	}
	row("rules", "change %d; %d of %d operators sign; %s; tolerated rollbacks %d", g.Serial, g.Quorum, g.Operators, version, g.Tolerate)
	for _, m := range st.Margins {
		row(fmt.Sprintf("group %d", m.Group), "%s; %s", m, secretText(m.secret))
	}
	for _, p := range st.Problems {
		row("PROBLEM", "%s", p)
	}
	for _, i := range st.Insecure {
		row("INSECURE", "%s", i)
	}
	if len(st.Members) > 1 {
		st.writeMembers(w)
	}
}

func (st *statusJSON) readiness() string {
	if st.Draining {
		return "NO: draining"
	}
	return yesNo(st.Ready)
}

// writeMembers is the table of the fleet's members; the one that was asked has a star.
func (st *statusJSON) writeMembers(w io.Writer) {
	var furthest uint64
	for _, m := range st.Members {
		if m.Report != nil {
			furthest = max(furthest, m.Report.Applied)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\n\tname\tdata center\trole\tterm\tapplied\tlag\tanchor\tversion\taccounts\tMiB\tlink")
	for _, m := range st.Members {
		number := strconv.FormatUint(m.Number, 10)
		if m.Number == st.Member {
			number += "*"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", number, command.OneLine(m.Name), command.OneLine(m.DataCenter), reported(m, furthest), command.OneLine(link(m)))
	}
	table.Flush()
}

// reported is what a member says of itself, in cells; dashes when it does not answer.
func reported(m vaultd.MemberStatus, furthest uint64) string {
	r := m.Report
	if r == nil {
		role := "voter"
		if m.Learner {
			role = "learner"
		}
		return role + strings.Repeat("\t-", 7)
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%s %d\t%d\t%d\t%d", r.Role, r.Term, r.Applied, furthest-r.Applied, r.Anchor, r.Counter, r.Version, r.Accounts, r.Bytes>>20)
}

func link(m vaultd.MemberStatus) string {
	switch m.Link {
	case "up":
		return fmt.Sprintf("up, %.1f ms", m.RTT)
	case "down":
		return strings.TrimSuffix("DOWN since "+m.Since+": "+m.Problem, ": ")
	}
	return m.Link
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
