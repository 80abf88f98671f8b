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
	"time"

	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

var statusCommand = command.Command[app, options]{
	Name: "status", Short: "how a running vaultd and its fleet stand",
	Long: `Asks the vaultd that runs with this configuration, through its admin address, how
it stands and what it sees of its fleet: a line for each member, with its role, how
far its log is behind (lag, in entries), its anchor, its version, what it holds, and
how the link to it is. Says how many voters may still be lost before service stops: one
that is down, behind, or has no room on its disk is lost already.
In a fleet of several groups each has a line, with the furthest that a member of it is
behind; role, term, applied, lag and anchor of the table are those of group 0, or, with
--group, of another, and then the table has that group's members.
Any member can be asked. Exit code 8 when it does not answer, 11 when it has halted.`,
	Example: `  vaultd status --config /var/lib/vaultd/vaultd.toml
  vaultd status --config /var/lib/vaultd/vaultd.toml --group 3
  vaultd status --admin 127.0.0.1:7444 --json`,
	Flags: func(f *flag.FlagSet, o *options) {
		adminFlags(f, o)
		f.UintVar(&o.group, "group", 0, "`NUMBER` of the group that the table is about")
	},
	Run: (*app).status,
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
	if groups := max(1, word.Roster.Groups); o.group >= uint(groups) {
		return command.Usage(fmt.Sprintf("--group %d: there is no such group", o.group), fmt.Sprintf("the groups of this fleet are 0 to %d", groups-1))
	}
	st := statusJSON{*word, marginsOf(word)}
	if err := a.Emit(st, func(w io.Writer) { st.write(w, uint32(o.group)) }); err != nil {
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

// time is the quorum's, of which a member knows nothing that has not heard a majority yet.
func (st *statusJSON) time() string {
	if at, err := time.Parse(time.RFC3339, st.Time); err == nil && at.Unix() <= 0 {
		return "not known yet: no majority was heard"
	}
	return st.Time
}

func (st *statusJSON) write(w io.Writer, group uint32) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", name, command.OneLine(fmt.Sprintf(format, args...)))
	}
	row("fleet", "%s", st.Fleet)
	row("ready", "%s", st.readiness())
	row("time", "%s", st.time())
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
		row(fmt.Sprintf("group %d", m.Group), "%s", m.line())
	}
	for _, p := range st.Problems {
		row("PROBLEM", "%s", p)
	}
	for _, i := range st.Insecure {
		row("INSECURE", "%s", i)
	}
	if len(st.Members) > 1 {
		st.writeMembers(w, group)
	}
}

func (st *statusJSON) readiness() string {
	if st.Draining {
		return "NO: draining"
	}
	return yesNo(st.Ready)
}

// writeMembers is the table of a group's members, as they stand in it; the one that was asked
// has a star.
func (st *statusJSON) writeMembers(w io.Writer, group uint32) {
	fmt.Fprintln(w)
	if st.Roster.Groups > 1 {
		fmt.Fprintf(w, "in group %d:\n", group)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tname\tdata center\trole\tterm\tapplied\tlag\tanchor\tversion\taccounts\tMiB\tlink")
	for _, m := range st.Members {
		i := slices.IndexFunc(m.Groups, func(g vaultd.MemberGroup) bool { return g.Group == group })
		if i < 0 {
			continue
		}
		number := strconv.FormatUint(m.Number, 10)
		if m.Number == st.Member {
			number += "*"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", number, command.OneLine(m.Name), command.OneLine(m.DataCenter), reported(m, m.Groups[i]), command.OneLine(link(m)))
	}
	table.Flush()
}

// reported is what a member says of itself, in cells; dashes for what it does not say.
func reported(m vaultd.MemberStatus, in vaultd.MemberGroup) string {
	role := "voter"
	if in.Learner {
		role = "learner"
	}
	anchor, replica, machine := "-", role+"\t-\t-\t-", "-\t-\t-"
	if in.Role != "" {
		replica = fmt.Sprintf("%s\t%d\t%d\t%s", command.OneLine(in.Role), in.Term, in.Applied, lagText(in.Lag))
	}
	if r := m.Report; r != nil {
		machine = fmt.Sprintf("%d\t%d\t%d", r.Version, r.Accounts, r.Bytes>>20)
		if in.Role != "" {
			anchor = fmt.Sprintf("%s %d", command.OneLine(r.Anchor), in.Counter)
		}
	}
	return replica + "\t" + anchor + "\t" + machine
}

func lagText(lag *uint64) string {
	if lag == nil {
		return "-"
	}
	return strconv.FormatUint(*lag, 10)
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
