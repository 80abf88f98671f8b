package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"

	"keepsake.example/internal/command"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

var transferCommand = command.Command[app, options]{
	Name: "transfer", Short: "give the leadership to another member",
	Long: `Has this member give every group that it leads to another voter: to the one that is
named with --to, else to the one that is furthest. Nothing is lost by it, and requests
wait for some milliseconds. Only a member that leads can be asked: vaultd status says
which one. Who could not lead is refused at once (exit code 14): a member that is down,
far behind, without a vote, or without room on its disk. When nobody takes it within
seconds, in which requests wait, this member leads on (1). For work on the leader's
machine, use drain.`,
	Example: `  vaultd transfer --config /var/lib/vaultd/vaultd.toml --to 3`,
	Flags: func(f *flag.FlagSet, o *options) {
		adminFlags(f, o)
		f.UintVar(&o.to, "to", 0, "`NUMBER` of the member that is to lead")
	},
	Run: (*app).transfer,
}

func (a *app) transfer(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	st, err := getStatus(ctx, admin)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(st.Groups, func(g vaultd.GroupStatus) bool { return g.Replica.Role == "leader" }) {
		return leadsNothing(st)
	}
	path := "/transfer?" + url.Values{"to": {strconv.FormatUint(uint64(o.to), 10)}}.Encode()
	return a.order(ctx, admin, path, "given away")
}

// leadsNothing is how transfer ends at a member that has nothing to give.
func leadsNothing(st *vaultd.Status) error {
	if st.Replica.Leader == 0 {
		return command.Fail(exitNoQuorum, fmt.Sprintf("member %d leads nothing, and knows no leader; nothing was done", st.Member), "wait until vaultd status shows one: a majority of the voters must be up")
	}
	return command.Fail(command.Failed, fmt.Sprintf("member %d leads nothing; nothing was done", st.Member), fmt.Sprintf("ask the leader, which is member %d as far as is known here", st.Replica.Leader))
}

var drainCommand = command.Command[app, options]{
	Name: "drain", Short: "send chatd elsewhere, before this member is stopped",
	Long: `Makes this member give the leadership away, if it has it, and answer no more clients:
chatd goes to another member at once. It goes on following, and counts for the quorum,
until it is stopped. Restart it to have it serve again. A stop by SIGTERM does all this
by itself; drain is for looking first whether all is well without it.`,
	Example: `  vaultd drain --config /var/lib/vaultd/vaultd.toml
  vaultd status --config /var/lib/vaultd/vaultd.toml
  systemctl restart vaultd`,
	Flags: adminFlags,
	Run:   (*app).drain,
}

func (a *app) drain(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	return a.order(ctx, admin, "/drain", "drained")
}

// order asks the admin listener to do something.
func (a *app) order(ctx context.Context, admin, path, done string) error {
	if _, err := get(ctx, "POST", admin, path); err != nil {
		return err
	}
	return a.Emit(map[string]bool{"done": true}, func(w io.Writer) { fmt.Fprintln(w, done) })
}

var replaceCommand = command.Command[app, options]{
	Name: "replace", Args: "NUMBER", Short: "the steps that replace a dead or stolen member",
	Long: `Prints the commands that put a new machine in the place of a member that is dead,
stolen, or has been rolled back. It changes nothing itself: each step is a change that
operators sign.

The old member goes first. It may be in somebody's hands; and as long as it counts for
the quorum, one more loss can stop the fleet. When the fleet refuses that, because too
few voters would be left in a group, the new machine comes first. A member that was
rolled back is replaced like one that is dead: under a new number, from empty disks.`,
	Example: `  vaultd replace 2 --config /var/lib/vaultd/vaultd.toml`,
	Flags:   rosterFlags,
	Run:     (*app).replace,
}

func (a *app) replace(ctx context.Context, o *options) error {
	n, err := number(o.args[0], 1<<32-1)
	if err != nil {
		return err
	}
	_, r, err := fetchRoster(ctx, o)
	if err != nil {
		return err
	}
	old, ok := r.Member(n)
	if n == 0 || n > r.Highest {
		return command.Fail(command.NotFound, fmt.Sprintf("there is no member %d, and never was", n), "see: vaultd operator show")
	}
	steps := removal(r, n, ok)
	refused, err := removalRefused(r, n)
	switch {
	case err != nil:
		return err
	case refused != nil:
		steps = append(succession(r, n, old.DataCenter), steps...)
	default:
		steps = append(steps, succession(r, n, old.DataCenter)...)
	}
	result := map[string]any{"member": n, "name": old.Name, "successor": r.Highest + 1, "steps": steps}
	return a.Emit(result, func(w io.Writer) {
		if ok {
			fmt.Fprintf(w, "to replace member %d, %s in %s:\n", n, old.Name, old.DataCenter)
		} else {
			fmt.Fprintf(w, "member %d is removed already; to put another in its place:\n", n)
		}
		if refused != nil {
			fmt.Fprintf(w, "the fleet refuses to let it go first: %s\n", refused.Reason)
		}
		for i, step := range steps {
			fmt.Fprintf(w, "  %d. %s\n", i+1, step)
		}
	})
}

// placesOf are the groups of their own members that a member is one of.
func placesOf(r *roster.Roster, n uint64) (groups []uint32) {
	for _, p := range r.Placement {
		if slices.ContainsFunc(p.Members, func(m roster.Placed) bool { return m.Number == n }) {
			groups = append(groups, p.Group)
		}
	}
	return groups
}

// removalRefused tries the removal in a copy of the roster: too few voters may be left.
func removalRefused(r *roster.Roster, n uint64) (*roster.Refusal, error) {
	for _, group := range append(placesOf(r, n), 0) {
		c := r.Next(roster.Remove)
		c.Member.Number, c.Group = n, group
		text, err := c.Text()
		if err != nil {
			return nil, err
		}
		next, err := tryOut(r, text)
		if refused, ok := errors.AsType[*roster.Refusal](err); ok && refused.Code == roster.Voters {
			return refused, nil
		} else if ok && refused.Code == roster.Absent {
			return nil, nil // it is out
		}
		if err != nil {
			return nil, refusal(err)
		}
		r = next
	}
	return nil, nil
}

// removal are the steps that take a member out, and end what it knows.
func removal(r *roster.Roster, n uint64, member bool) (steps []string) {
	first := "remove " + strconv.FormatUint(n, 10)
	for _, group := range placesOf(r, n) {
		steps = append(steps, fmt.Sprintf("vaultd operator propose %s --group %d     (sign, submit)", first, group))
	}
	if member {
		steps = append(steps, "vaultd operator propose "+first+" --because '...'     (sign, submit)")
	}
	return append(steps, "vaultd status     until the secret of every group is one higher: what the old machine knew of it is worth nothing then")
}

// succession are the steps that put a new machine in the place of a member, in each of its groups.
func succession(r *roster.Roster, n uint64, dataCenter string) []string {
	newcomer := r.Highest + 1
	steps := []string{
		fmt.Sprintf("on the new machine: vaultd init DIR --join %x --name NAME --data-center %s --advertise HOST:PORT ...", r.Fleet, cmp.Or(dataCenter, "NAME")),
		fmt.Sprintf("vaultd operator propose add member.card     (sign, submit: it is member %d)", newcomer),
	}
	if r.Hardened() {
		steps = append(steps, "the fleet's key: vaultd device request on the new machine, vaultd device wrap on a member that is stopped for it (with two voters left, service stands meanwhile), vaultd device install on the new one")
	}
	steps = append(steps,
		"on the new machine: vaultd join --config DIR/vaultd.toml --roster FILE, then vaultd serve",
		fmt.Sprintf("when vaultd status shows no lag: vaultd operator propose promote %d     (sign, submit)", newcomer),
	)
	for _, group := range placesOf(r, n) {
		steps = append(steps,
			fmt.Sprintf("vaultd operator propose place %d --group %d     (sign, submit)", newcomer, group),
			fmt.Sprintf("when vaultd status --group %d shows no lag: vaultd operator propose promote %d --group %d     (sign, submit)", group, newcomer, group))
	}
	return steps
}
