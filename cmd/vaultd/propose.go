package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// proposal is what propose is told.
type proposal struct {
	because  string
	group    uint
	quorum   uint
	attempts uint8 // 0: as they are
	waits    string
	coolDown string
	grace    string
}

// change fills in what a change does; it may look at the roster and at the arguments.
type change func(o *options, r *roster.Roster, c *roster.Change) error

// proposeCommand is one kind of change.
func proposeCommand(name, args, short, long, example string, kind roster.Kind, flags func(*flag.FlagSet, *proposal), fill change) command.Command[app, options] {
	return command.Command[app, options]{
		Name: "operator propose " + name, Args: args, Short: short, Long: long, Example: "  vaultd operator propose " + name + " " + example,
		Flags: func(f *flag.FlagSet, o *options) {
			rosterFlags(f, o)
			f.StringVar(&o.out, "out", "", "`FILE` to write the text to; it must not exist (change-SERIAL.txt)")
			f.StringVar(&o.proposal.because, "because", "", "`REASON` for people, in the signed text; at most 80 characters of ASCII")
			if flags != nil {
				flags(f, &o.proposal)
			}
		},
		Run: func(a *app, ctx context.Context, o *options) error { return a.propose(ctx, o, kind, fill) },
	}
}

func groupFlag(f *flag.FlagSet, p *proposal) {
	f.UintVar(&p.group, "group", 0, "`NUMBER` of the group this is about; 0 is the one of all machines")
}

func proposeCommands() []command.Command[app, options] {
	return []command.Command[app, options]{
		proposeCommand("add", "CARD", "take in a machine, without a vote", `Takes a machine in: it gets the fleet's records and the log, and has no vote before it
is promoted. CARD is the file member.card that vaultd init --join made on the machine.
The group's secret is given to the key on that card: get it from the machine itself.`,
			"/mnt/fra2/member.card --because 'replaces member 2'", roster.Add, nil, fillAdd),
		proposeCommand("place", "NUMBER", "put a machine into another group, without a vote", `Puts a machine of the fleet into a group, so that it keeps that group's accounts. A
group begins with the machines of group 0; it is moved by placing new members in it,
promoting them, and removing the old ones.`,
			"6 --group 3", roster.Add, groupFlag, fillMember),
		proposeCommand("promote", "NUMBER", "give a member a vote", `Gives a member a vote. The fleet refuses it until the member has the records and hardly
any lag, as vaultd status shows: a voter that is far behind counts as one that is down.`,
			"6", roster.Promote, groupFlag, fillMember),
		proposeCommand("demote", "NUMBER", "take a member's vote away", `Takes a member's vote away; it goes on following. Before a machine is taken out of
service for long, so that the others do not wait for it.`,
			"6", roster.Demote, groupFlag, fillMember),
		proposeCommand("remove", "NUMBER", "take a member out for good", `Takes a member out for good: the others no longer listen to it, and its number is never
given again. What it still has on its disks stays sealed under its anchor. A dead or
stolen machine first, then its successor: vaultd help replace.`,
			"2 --because 'its disk was stolen in Frankfurt'", roster.Remove, groupFlag, fillMember),
		proposeCommand("address", "NUMBER HOST:PORT", "move a member to another address", `Says where the others reach a member from now on. The keys of its links stay, so that
nobody else can answer there.`,
			"3 10.0.3.9:7445", roster.SetAddress, nil, fillAddress),
		proposeCommand("policy", "", "make the limits on guesses stricter", `Makes the policy stricter: what is not given stays. A change that is weaker anywhere is
refused by the fleet, whoever signs it. Records that exist are not changed: the limits
count for those that are registered from then on.`,
			"--attempts 8 --cool-down 240h", roster.SetPolicy, policyFlags, fillPolicy),
		proposeCommand("min-version", "VERSION", "the least version that may take part", `Raises the least version of vaultd that may take part. It only goes up, and is refused
while a member is older, as vaultd status shows. An older program does not start then.`,
			"2", roster.SetMinVersion, nil, fillMinVersion),
		proposeCommand("tolerate", "NUMBER", "how many members may have lost what they acknowledged", `Says how many voters of a group may have been put back to an older disk without the
fleet losing anything: more of them must then take part in every step. It only goes up.`,
			"1", roster.SetTolerate, nil, fillTolerate),
		proposeCommand("void", "", "change nothing, so that what was given up is void", `Uses up the next serial and changes nothing. A change that was signed and then given up
could else be submitted later by whoever kept it.`,
			"--because 'change 7 was a mistake'", roster.Void, nil, func(*options, *roster.Roster, *roster.Change) error { return nil }),
		proposeCommand("operators", "NAME=KEY...", "other operators, or another quorum", `Replaces the list of operators: all of them, not only the new ones. A quorum of the old
operators must sign, and a quorum of the new ones, which shows that they have their
keys: with a list that nobody can sign for, the fleet could never be changed again.`,
			"alice=5c0e… bob=77a1… carol=03fe… --quorum 2", roster.SetOperators, func(f *flag.FlagSet, p *proposal) {
				f.UintVar(&p.quorum, "quorum", 0, "`NUMBER` of operators that must sign a change")
			}, fillOperators),
	}
}

func policyFlags(f *flag.FlagSet, p *proposal) {
	f.Func("attempts", "largest `NUMBER` of attempts of a record", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n < 1 || n > maxAttempts {
			return fmt.Errorf("1 to %d attempts", maxAttempts)
		}
		p.attempts = uint8(n)
		return nil
	})
	f.StringVar(&p.waits, "waits", "", "`PERIODS` to wait after the first, second … attempt: 0s,0s,1m,5m")
	f.StringVar(&p.coolDown, "cool-down", "", "`PERIOD` until a change without the device's authority takes effect")
	f.StringVar(&p.grace, "grace", "", "`PERIOD` for which a last attempt may be proved")
}

// propose writes the text of a change, if the fleet would take it.
func (a *app) propose(ctx context.Context, o *options, kind roster.Kind, fill change) error {
	_, r, err := fetchRoster(ctx, o)
	if err != nil {
		return err
	}
	if o.proposal.group >= roster.MaxGroups {
		return command.Usage(fmt.Sprintf("--group %d: there is no such group", o.proposal.group), "see: vaultd status, which has a line for each group")
	}
	c := r.Next(kind)
	c.Because, c.Group = o.proposal.because, uint32(o.proposal.group)
	if err := fill(o, r, c); err != nil {
		return err
	}
	text, err := c.Text()
	if err != nil {
		return command.Usage(err.Error(), "see: vaultd help operator propose")
	}
	if _, err := tryOut(r, text); err != nil {
		return refusal(err)
	}
	file := o.out
	if file == "" {
		file = fmt.Sprintf("change-%d.txt", c.Serial)
	}
	if err := durable.CreateExclusive(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the change: %w", err)
	}
	result := map[string]any{"file": file, "serial": c.Serial, "text": text, "signatures_needed": r.Quorum}
	return a.Emit(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s\nwritten to %s; %d of %d operators must sign it%s:\n", text, file, r.Quorum, len(r.Operators), ofTheNew(c))
		fmt.Fprintf(w, "  vaultd operator sign %s --key NAME.key\n", file)
	})
}

// ofTheNew says how many of the operators that a change makes must sign it besides.
func ofTheNew(c *roster.Change) string {
	if c.Kind != roster.SetOperators {
		return ""
	}
	return fmt.Sprintf(", and %d of the %d new ones", c.Quorum, len(c.Operators))
}

// tryOut says what the fleet would say, signatures aside, and how it would be then: it
// is asked in a copy of the roster whose only operator has just been drawn.
func tryOut(r *roster.Roster, text string) (*roster.Roster, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signature, err := roster.Sign(text, key)
	if err != nil {
		return nil, err
	}
	trial := r.Clone()
	trial.Operators, trial.Quorum = []roster.Operator{{Name: "trial", Key: signature.Key}}, 1
	_, err = trial.Apply(&roster.Signed{Text: text, Signatures: []roster.Signature{signature}})
	if refused, ok := errors.AsType[*roster.Refusal](err); ok && refused.Code == roster.TooFew {
		return trial, nil // of the new operators: they sign later
	}
	return trial, err
}

func fillAdd(o *options, r *roster.Roster, c *roster.Change) error {
	card, err := readCard(o.args[0])
	if err != nil {
		return err
	}
	c.Member = card.Member(r.Highest + 1)
	return nil
}

func readCard(file string) (vaultd.Card, error) {
	text, err := command.ReadFile(file, 4096)
	if err != nil {
		return vaultd.Card{}, fmt.Errorf("reading the card: %w", err)
	}
	card, err := vaultd.ParseCard(string(text))
	if err != nil {
		return card, command.Fail(exitFile, file+": "+err.Error(), "vaultd init --join makes such a file, member.card")
	}
	return card, nil
}

func fillMember(o *options, r *roster.Roster, c *roster.Change) (err error) {
	if c.Kind == roster.Add && c.Group == 0 {
		return command.Usage("--group is missing: which group the machine is to serve", "see: vaultd operator show")
	}
	c.Member.Number, err = number(o.args[0], roster.MaxNumber)
	return err
}

func fillAddress(o *options, _ *roster.Roster, c *roster.Change) (err error) {
	c.Member.Address = o.args[1]
	c.Member.Number, err = number(o.args[0], roster.MaxNumber)
	return err
}

func fillMinVersion(o *options, _ *roster.Roster, c *roster.Change) error {
	n, err := number(o.args[0], 1<<32-1)
	c.MinVersion = uint32(n)
	return err
}

func fillTolerate(o *options, _ *roster.Roster, c *roster.Change) error {
	n, err := number(o.args[0], roster.MaxVoters)
	c.Tolerate = uint8(n)
	return err
}

func number(text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, command.Usage(fmt.Sprintf("%q is no number up to %d", text, most), "see: vaultd operator show, which numbers the members")
	}
	return n, nil
}

func fillOperators(o *options, _ *roster.Roster, c *roster.Change) error {
	for _, text := range o.args {
		operator, err := parseOperator(text)
		if err != nil {
			return command.Usage(err.Error(), "vaultd operator keygen prints NAME=KEY")
		}
		c.Operators = append(c.Operators, operator)
	}
	slices.SortFunc(c.Operators, func(x, y roster.Operator) int { return strings.Compare(x.Name, y.Name) })
	if o.proposal.quorum < 1 || o.proposal.quorum > roster.MaxOperators {
		return command.Usage("--quorum is missing: how many of them must sign a change", "see: vaultd help operator propose operators")
	}
	c.Quorum = uint8(o.proposal.quorum)
	return nil
}

// maxAttempts is how many attempts any policy allows at most (spec/replication.md §15.1).
const maxAttempts = 10

// fillPolicy begins with the policy as it is.
func fillPolicy(o *options, r *roster.Roster, c *roster.Change) error {
	p, n := &c.Policy, &o.proposal
	*p = r.Clone().Policy
	p.MaxAttempts = cmp.Or(n.attempts, p.MaxAttempts)
	if n.waits != "" {
		if err := setWaits(p, strings.Split(n.waits, ",")); err != nil {
			return err
		}
	}
	// Fewer attempts have fewer waits. More are refused by the fleet's rules, which read a
	// policy only when its waits are as many as they should be.
	for len(p.Waits) < int(p.MaxAttempts)-1 {
		p.Waits = append(p.Waits, slices.Max(append(p.Waits, 0)))
	}
	p.Waits = p.Waits[:p.MaxAttempts-1]
	return errors.Join(setPeriod(&p.CoolDown, n.coolDown), setPeriod(&p.Grace, n.grace))
}

// setWaits reads the waits, one after each attempt but the last.
func setWaits(p *roster.Policy, texts []string) error {
	if want := int(p.MaxAttempts) - 1; len(texts) != want {
		return command.Usage(fmt.Sprintf("--waits has %d, and a record of %d attempts wants %d: one after each but the last", len(texts), p.MaxAttempts, want), "see: vaultd operator show")
	}
	p.Waits = make([]uint64, len(texts))
	for i, text := range texts {
		if err := setPeriod(&p.Waits[i], text); err != nil {
			return err
		}
	}
	return nil
}

// setPeriod reads a period; "" leaves what is there.
func setPeriod(to *uint64, text string) error {
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return command.Usage(fmt.Sprintf("%q is no period", text), "with its unit: 90s, 5m, 168h")
	}
	*to = milliseconds(d)
	return nil
}
