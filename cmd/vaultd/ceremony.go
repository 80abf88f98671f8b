package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"keepsake.example/ceremony"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
)

// transcriptGroup is what vaultd help transcript begins with.
const transcriptGroup = `sign and check the record of a founding
vaultd ceremony writes it; doc/ceremony.md is the script for the people.`

var ceremonyCommand = command.Command[app, options]{
	Name: "ceremony", Args: "DIR", Short: "found a fleet in front of its operators, with a transcript",
	Long: `Founds a fleet in DIR like vaultd init, step after numbered step, in front of those who
will sign for it: who they are, which program runs, which rules the fleet gets, what
the device says of itself, which keys were made in it, and the fleet that came out. After
each step a digest is shown: read it aloud, write it down, compare. The next step begins
when somebody has typed its last four digits; until then nothing irreversible is done.

Writes DIR/transcript, which the operators sign on their own machines (vaultd
transcript sign) and anybody can check (vaultd transcript verify).

--fleet-key makes a key in the device, beside those of the vault, that all machines of
the fleet will hold in theirs: without a device no password can be guessed, also not by
who has taken memory and disks of a machine. The custodian types the device's owner
password or SO PIN, which is kept nowhere.

--rehearse runs every step on a throw-away device of the same kind, which is a program
(swtpm, SoftHSM), and founds nothing: what is left is DIR/transcript, which says that it
is of a rehearsal. No real secret is asked for.`,
	Example: `  vaultd ceremony /var/lib/vaultd --anchor tpm --tpm-path /dev/tpmrm0 --fleet-key \
    --issuer https://id.example.org --audience keepsake-vault \
    --jwks /etc/vaultd/jwks.json --relay 3f0c…64 hex digits, from chatd… \
    --name fra1 --data-center frankfurt --advertise fra1.vault.example.org:7445 \
    --operator alice=5c0e… --operator bob=77a1… --operator carol=03fe… --quorum 2
  vaultd ceremony rehearsal --rehearse ...as above`,
	Flags: func(f *flag.FlagSet, o *options) {
		n := &o.founding
		n.flags(f)
		n.fleet.flags(f)
		o.ceremony.flags(f)
		f.BoolVar(&n.anchor.fleetKey, "fleet-key", false, "make a fleet key in the device")
		f.BoolVar(&o.yes, "yes", false, "go on after each step without asking; for rehearsals by scripts")
	},
	Run: (*app).ceremony,
}

// staging is what ceremony is told besides what init is.
type staging struct {
	rehearse bool
	notes    []string
}

func (s *staging) flags(f *flag.FlagSet) {
	f.BoolVar(&s.rehearse, "rehearse", false, "on a throw-away device, and keep only the transcript")
	f.Func("note", "`TEXT` for the transcript: the place, a witness; may be given again", func(text string) error {
		s.notes = append(s.notes, text)
		return nil
	})
}

// script is one ceremony under way.
type script struct {
	*app
	o          *options
	n          *founding
	c          *config
	transcript *ceremony.Transcript
}

func (a *app) ceremony(ctx context.Context, o *options) (err error) {
	n := &o.founding
	if err := checkCeremony(o); err != nil {
		return err
	}
	dir, err := command.NewFolder(o.args[0], "choose a new folder; an existing fleet is never founded anew")
	if err != nil {
		return err
	}
	// A ceremony that was broken off founded nothing that anybody was told of.
	defer func() {
		if err != nil {
			err = errors.Join(err, empty(dir))
		}
	}()
	where := dir

	if o.ceremony.rehearse {
		stage, err := setStage(ctx, dir, n)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stage.strike()) }()
		where = stage.dir
	}
	c, err := n.config()
	if err != nil {
		return err
	}
	c.file = filepath.Join(where, "vaultd.toml")
	s := &script{a, o, n, &c, ceremony.New(time.Now(), o.ceremony.rehearse)}
	result, err := s.play(ctx)
	if err != nil {
		return err
	}
	return s.end(result, filepath.Join(dir, "transcript"))
}

func checkCeremony(o *options) error {
	n := &o.founding
	switch {
	case n.issuer == "" || n.jwks == "":
		return command.Usage("--issuer and --jwks are missing: without them nobody could prove whose account a request is about", "see: vaultd help ceremony")
	case n.fleet.join != "":
		return command.Usage("--join: a machine that joins needs no ceremony", "vaultd init --join; the operators sign that it may")
	case len(n.fleet.operators) == 0 || n.fleet.advertise == "":
		return command.Usage("--operator or --advertise is missing: a ceremony is for a fleet that operators can change and others can join", "vaultd init founds a fleet of one for development")
	}
	return cmp.Or(n.fleet.check(), n.checkPolicy())
}

// play goes through the steps. What is written down before its step is confirmed is
// what will be done; what comes out is written down and confirmed after.
func (s *script) play(ctx context.Context) (*initJSON, error) {
	for _, step := range []func() error{s.whoIsHere, s.program, s.rules} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := s.device(ctx); err != nil {
		return nil, err
	}
	result, err := s.make(ctx, s.n, s.c)
	if err != nil {
		return nil, err
	}
	return result, s.founded(result)
}

// step writes one step down, shows it, and waits until somebody has compared it.
func (s *script) step(title string, facts ...ceremony.Fact) error {
	st, err := s.transcript.Add(title, facts...)
	if err != nil {
		return fmt.Errorf("writing the transcript: %w", err)
	}
	fmt.Fprintf(s.Err, "\n%d. %s\n\n", len(s.transcript.Steps), title)
	for _, f := range facts {
		fmt.Fprintf(s.Err, "   %-14s %s\n", f.Name, strings.Join(command.Wrap(f.Value, 60), "\n"+strings.Repeat(" ", 18)))
	}
	fmt.Fprintln(s.Err, "\ndigest of this step and all before it, to be read aloud:")
	return s.compare(s.o.yes, "does everybody have the same?", st.Digest)
}

// end writes the transcript and says what comes next.
func (s *script) end(result *initJSON, file string) error {
	signed := ceremony.Signed{Text: s.transcript.Text()}
	if err := durable.CreateExclusive(file, signed.Encode(), 0o644); err != nil {
		return fmt.Errorf("writing the transcript: %w", err)
	}
	digest := s.transcript.Digest()
	out := map[string]any{"transcript": file, "digest": fmt.Sprintf("%x", digest), "rehearsal": s.transcript.Rehearsal, "fleet": result.Fleet}
	return s.Emit(out, func(w io.Writer) {
		if s.transcript.Rehearsal {
			fmt.Fprintf(w, "transcript of the rehearsal: %s\nnothing else is left of it\n", file)
			return
		}
		result.write(w, s.c)
		fmt.Fprintf(w, "\ntranscript  %s\nevery operator: vaultd transcript sign %s --key ...\n", file, file)
	})
}
