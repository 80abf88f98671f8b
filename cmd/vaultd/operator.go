package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vaultd"
)

// operatorGroup is what vaultd help operator begins with.
const operatorGroup = `change who belongs to the fleet, and under which rules
A fleet changes only by texts that a quorum of its operators has signed. The machines
of the fleet check the signatures themselves: being root on one of them changes nothing.

  propose   writes the text of a change, with the next serial
  sign      shows the text, asks, and adds one operator's signature: each operator
            does that, on a machine of their own
  submit    hands text and signatures to any member, which says what came of it

What limits guesses only becomes stricter, and nothing here can make it weaker.`

const proposeGroup = `write the text of a change, to be signed
The text has the next serial: it is for the fleet as it stands now, and is refused when
another change comes first. Nothing happens before it is signed and submitted.`

var showCommand = command.Command[app, options]{
	Name: "operator show", Short: "who belongs to the fleet, who signs, which rules",
	Long: `Shows the fleet as its members have it: operators and how many of them must sign,
members, policy, serial. What is shown is signed by the fleet whose id you give, and
by no relay or host. It can be a while old: a member that lags signs what it has.
With --changes, the newest 256 changes that were accepted, and who signed each: the
fleet keeps no more, so export them now and then (--json) if they must be known later.

--out keeps the signed roster: with it (--roster FILE) propose and join work on
machines that reach no member.`,
	Example: `  vaultd operator show --config /var/lib/vaultd/vaultd.toml
  vaultd operator show --admin 127.0.0.1:7444 --fleet 5c0e…64 hex digits… --out roster`,
	Flags: func(f *flag.FlagSet, o *options) {
		rosterFlags(f, o)
		f.StringVar(&o.out, "out", "", "`FILE` to write the signed roster to")
		f.BoolVar(&o.changes, "changes", false, "print the newest 256 changes that were accepted, oldest first, and who signed them")
	},
	Run: (*app).operatorShow,
}

// rosterFlags say where the roster comes from and whose it must be.
func rosterFlags(f *flag.FlagSet, o *options) {
	adminFlags(f, o)
	f.StringVar(&o.fleet, "fleet", "", "`ID` of the fleet, in place of the configuration's")
	f.StringVar(&o.roster, "roster", "", "`FILE` with the signed roster, in place of asking a member")
}

// pinned is the fleet whose word counts.
func pinned(o *options) (sealed.FleetID, error) {
	text := o.fleet
	if text == "" {
		c, err := readConfig(o.config)
		if err != nil {
			return sealed.FleetID{}, fmt.Errorf("without --fleet: %w", err)
		}
		text = c.Fleet
	}
	id, err := fleet.ParseID(text)
	if err != nil {
		return id, command.Usage(fmt.Sprintf("%q is no fleet id", text), "--fleet takes the id that vaultd init printed")
	}
	return id, nil
}

// signedRoster gets the roster as some member signed it.
func signedRoster(ctx context.Context, o *options) ([]byte, error) {
	if o.roster != "" {
		b, err := command.ReadFile(o.roster, maxRoster)
		if err != nil {
			return nil, fmt.Errorf("reading the roster: %w", err)
		}
		return b, nil
	}
	admin, err := adminAddress(o)
	if err != nil {
		return nil, err
	}
	return get(ctx, "GET", admin, "/roster")
}

// maxRoster bounds a signed roster, in bytes: 64 members of 1.5 KiB, and their places.
const maxRoster = 1 << 20

func openRoster(signed []byte, id sealed.FleetID) (*roster.Roster, error) {
	r, err := vaultd.OpenRoster(signed, id)
	if err != nil {
		return nil, command.Fail(exitFile, err.Error(), "compare the fleet id with the one you pinned: another fleet answers there, or somebody in between")
	}
	return r, nil
}

// fetchRoster gets the roster as the pinned fleet signed it, and what it says.
func fetchRoster(ctx context.Context, o *options) (signed []byte, r *roster.Roster, err error) {
	id, err := pinned(o)
	if err != nil {
		return nil, nil, err
	}
	if signed, err = signedRoster(ctx, o); err != nil {
		return nil, nil, err
	}
	r, err = openRoster(signed, id)
	return signed, r, err
}

func (a *app) operatorShow(ctx context.Context, o *options) error {
	if o.changes {
		return a.showChanges(ctx, o)
	}
	signed, r, err := fetchRoster(ctx, o)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := durable.WriteFile(o.out, signed, 0o644); err != nil {
			return fmt.Errorf("writing the roster: %w", err)
		}
	}
	j := describeRoster(r)
	return a.Emit(j, func(w io.Writer) { j.write(w) })
}

func (a *app) showChanges(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	text, err := get(ctx, "GET", admin, "/changes")
	if err != nil {
		return err
	}
	changes := []vaultd.SignedChange{}
	if err := json.Unmarshal(text, &changes); err != nil {
		return fmt.Errorf("reading vaultd's answer: %w", err)
	}
	for _, c := range changes {
		if err := checkChange(c); err != nil {
			return err
		}
	}
	return a.Emit(map[string]any{"changes": changes}, func(w io.Writer) {
		for _, c := range changes {
			writeChange(w, c)
		}
	})
}

// checkChange says whether the signatures hold: the one who answers may be in other hands.
func checkChange(c vaultd.SignedChange) error {
	s := &roster.Signed{Text: c.Text}
	for _, told := range c.Signatures {
		var g roster.Signature
		if !decodeHex(g.Key[:], told.Key) || !decodeHex(g.Signature[:], told.Signature) {
			return errors.New("vaultd answers with what is no signature of a change")
		}
		if err := s.Add(g); err != nil {
			return fmt.Errorf("vaultd answers with a change that was edited: %w", err)
		}
	}
	return nil
}

// writeChange prints a change and who signed it.
func writeChange(w io.Writer, c vaultd.SignedChange) {
	for line := range strings.Lines(c.Text) {
		fmt.Fprintln(w, command.OneLine(strings.TrimSuffix(line, "\n")))
	}
	for _, g := range c.Signatures {
		fmt.Fprintln(w, command.OneLine(fmt.Sprintf("signed by %s, %s", cmp.Or(g.Operator, "an operator of before"), g.Key)))
	}
	fmt.Fprintln(w)
}

type rosterJSON struct {
	Fleet     string         `json:"fleet"`
	Serial    uint64         `json:"serial"`
	Operators []operatorJSON `json:"operators"`
	Quorum    uint8          `json:"operators_that_sign"`
	Tolerate  uint8          `json:"tolerated_rollbacks"`
	Version   uint32         `json:"minimum_version"`
	Policy    policyJSON     `json:"policy"`
	Groups    []groupJSON    `json:"groups"`
}

type operatorJSON struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

type policyJSON struct {
	Attempts uint8    `json:"attempts"`
	Waits    []string `json:"waits"`
	CoolDown string   `json:"cool_down"`
	Grace    string   `json:"grace"`
	Insecure bool     `json:"insecure"`
}

// groupJSON is a group that has members of its own; the others follow group 0.
type groupJSON struct {
	Group   uint32       `json:"group"`
	Needed  int          `json:"voters_needed"`
	Members []memberJSON `json:"members"`
}

type memberJSON struct {
	Number     uint64 `json:"number"`
	Name       string `json:"name"`
	DataCenter string `json:"data_center"`
	Address    string `json:"address"`
	Role       string `json:"role"` // voter, learner
}

func describeRoster(r *roster.Roster) rosterJSON {
	j := rosterJSON{
		Fleet: fleet.FormatID(r.Fleet), Serial: r.Serial, Quorum: r.Quorum, Tolerate: r.Tolerate, Version: r.MinVersion,
		Operators: []operatorJSON{}, Policy: describePolicy(r.Policy),
	}
	for _, o := range r.Operators {
		j.Operators = append(j.Operators, operatorJSON{o.Name, hex.EncodeToString(o.Key[:])})
	}
	j.Groups = append(j.Groups, describeGroup(r, 0))
	for _, p := range r.Placement {
		j.Groups = append(j.Groups, describeGroup(r, p.Group))
	}
	return j
}

func describePolicy(p roster.Policy) policyJSON {
	j := policyJSON{p.MaxAttempts, []string{}, period(p.CoolDown), period(p.Grace), p.Insecure}
	for _, w := range p.Waits {
		j.Waits = append(j.Waits, period(w))
	}
	return j
}

func describeGroup(r *roster.Roster, group uint32) groupJSON {
	g := groupJSON{Group: group, Members: []memberJSON{}}
	voters := 0
	for _, m := range r.In(group) {
		role := "learner"
		if !m.Learner {
			role = "voter"
			voters++
		}
		g.Members = append(g.Members, memberJSON{m.Number, m.Name, m.DataCenter, m.Address, role})
	}
	g.Needed = roster.Needed(voters, int(r.Tolerate))
	return g
}

func (j *rosterJSON) write(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("fleet", "%s", j.Fleet)
	row("serial", "%d; the next change is %d", j.Serial, j.Serial+1)
	row("operators", "%d of %d sign", j.Quorum, len(j.Operators))
	for _, o := range j.Operators {
		row("", "%s=%s", o.Name, o.Key)
	}
	row("rules", "%d attempts, waits %v, cool-down %s, grace %s", j.Policy.Attempts, j.Policy.Waits, j.Policy.CoolDown, j.Policy.Grace)
	row("", "minimum version %d, tolerated rollbacks %d", j.Version, j.Tolerate)
	for _, g := range j.Groups {
		row(fmt.Sprintf("group %d", g.Group), "%d members; %d voters must take part in every step", len(g.Members), g.Needed)
		for _, m := range g.Members {
			row("", "%-4d %-12s %-12s %-22s %s", m.Number, m.Name, m.DataCenter, m.Address, m.Role)
		}
	}
	if j.Policy.Insecure {
		row("INSECURE", "a development anchor, or weaker limits than the default")
	}
}

// refusal is how a command ends that the roster's rules end.
func refusal(err error) error {
	if r, ok := errors.AsType[*roster.Refusal](err); ok {
		r.Hint = cmp.Or(r.Hint, "see: vaultd operator show")
		return command.Fail(exitRefused, fmt.Sprintf("refused (%s): %s", r.Code, r.Reason), r.Hint)
	}
	return err
}

// milliseconds is a period as a policy has it.
func milliseconds(d time.Duration) uint64 { return uint64(max(d, 0).Milliseconds()) }
