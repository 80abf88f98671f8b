package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/vaultd"
)

// founding is what init is told.
type founding struct {
	issuer, audience, algorithm, jwks string
	listen                            string
	relays                            []string
	softwareAnchor, anyRelay          bool
	weakWaits                         bool
	waits                             time.Duration
	attempts                          uint
	fleet                             fleeting
	anchor                            anchoring
}

var initCommand = command.Command[app, options]{
	Name: "init", Args: "DIR", Short: "found a fleet, or make a machine that joins one",
	Long: `Founds a fleet in DIR, which must not exist or be empty: its identity key, which
never leaves the vault, its first channel key, its policy, and DIR/vaultd.toml,
which explains every setting. Prints

  the fleet id     clients pin it: put it into the application
  the server pin   chatd knows this vaultd by it

and writes DIR/bundle, the signed bundle that clients will fetch through chatd.
The policy (attempts, waits) is part of the fleet: it is not changed later by
editing a file.

--anchor says what the machine counts on: its TPM or a PKCS#11 token, which init makes
ready, or, for development, files. doc/hsm-tpm.md and doc/hsm-pkcs11.md say what that is
worth.
--fleet-key, when a fleet is founded, makes a key in the device that every machine of the
fleet will need: vaultd help device.

A fleet of several machines is founded on one of them, with --operator for each
of those who will sign its changes (vaultd operator keygen), --quorum, and what
the others know this machine by: --name, --data-center, --advertise.

With --join FLEET nothing is founded. DIR gets the keys of a new machine, its
vaultd.toml, and DIR/member.card, which operators need to take it in: vaultd
operator propose add. Then: vaultd join.`,
	Example: `  vaultd init /var/lib/vaultd --anchor tpm --tpm-path /dev/tpmrm0 --fleet-key \
    --issuer https://id.example.org --audience keepsake-vault \
    --jwks /etc/vaultd/jwks.json --relay 3f0c…64 hex digits, from chatd… \
    --name fra1 --data-center frankfurt --advertise fra1.vault.example.org:7445 \
    --operator alice=5c0e… --operator bob=77a1… --operator carol=03fe… --quorum 2
  vaultd init /var/lib/vaultd --join 9a3c…the fleet id… --name ams1 \
    --data-center amsterdam --advertise ams1.vault.example.org:7445 \
    ...as above, without operators`,
	Flags: func(f *flag.FlagSet, o *options) {
		n := &o.founding
		n.flags(f)
		n.fleet.flags(f)
		f.BoolVar(&n.anchor.fleetKey, "fleet-key", false, "make a fleet key in the device, for a fleet whose passwords nobody guesses without one")
	},
	Run: (*app).init,
}

func (n *founding) flags(f *flag.FlagSet) {
	f.StringVar(&n.issuer, "issuer", "", "`NAME` of the issuer of access tokens, their iss")
	f.StringVar(&n.audience, "audience", "keepsake-vault", "`NAME` of this vault in tokens, their aud; not chatd's")
	f.StringVar(&n.algorithm, "algorithm", "EdDSA", "`NAME` of the issuer's algorithm: EdDSA, ES256, RS256 or PS256")
	f.StringVar(&n.jwks, "jwks", "", "`FILE` or https URL with the issuer's public keys, a JWK Set")
	f.StringVar(&n.listen, "listen", "127.0.0.1:7443", "`ADDRESS` where chatd connects; the admin address is the next port on loopback")
	f.Func("relay", "`PIN` of a chatd's client certificate, 64 hex digits; may be given again", func(s string) error {
		pin, err := vaultd.ParsePin(s)
		n.relays = append(n.relays, pin.String())
		return err
	})
	f.BoolVar(&n.anyRelay, "insecure-any-relay", false, "let anybody connect; development only")
	f.BoolVar(&n.softwareAnchor, "insecure-software-anchor", false, "count in files, which protects nothing; development only")
	n.anchor.flags(f)
	f.Func("insecure-waits", "`PERIOD` to wait after every attempt (0s, 5s) in place of the default's growing waits; development only", func(s string) (err error) {
		n.weakWaits = true
		if n.waits, err = time.ParseDuration(s); err == nil && n.waits < 0 {
			return errors.New("a wait is not negative")
		}
		return err
	})
	f.UintVar(&n.attempts, "attempts", 10, "largest `NUMBER` of attempts of a record, 1 to 10")
}

type initJSON struct {
	Fleet    string   `json:"fleet"`
	Server   string   `json:"server_pin"`
	Config   string   `json:"config"`
	Anchor   string   `json:"anchor"`
	Bundle   string   `json:"bundle,omitempty"` // of a founder
	Card     string   `json:"card,omitempty"`   // of a machine that can be a member among others
	Insecure []string `json:"insecure"`
}

func (a *app) init(ctx context.Context, o *options) error {
	n := o.founding
	if n.issuer == "" || n.jwks == "" {
		return command.Usage("--issuer and --jwks are missing: without them nobody could prove whose account a request is about", "see: vaultd help init")
	}
	if err := cmp.Or(n.fleet.check(), n.anchor.check(), n.checkPolicy()); err != nil {
		return err
	}
	dir, err := command.NewFolder(o.args[0], "choose a new folder; an existing fleet is never founded anew")
	if err != nil {
		return err
	}
	c, err := n.config()
	if err != nil {
		return err
	}
	if _, err := c.write(); err != nil { // refused here, before anything is founded
		return err
	}
	if n.fleet.join == "" && len(n.fleet.operators) == 0 && !n.policy().Insecure {
		return command.Usage("--operator, --name, --data-center and --advertise are missing: a fleet that is not for development has operators and can be joined", "vaultd operator keygen makes their keys")
	}
	c.file = filepath.Join(dir, "vaultd.toml")
	if err = a.prepare(ctx, &n, &c); err != nil {
		return errors.Join(err, empty(dir))
	}
	result, err := a.make(ctx, &n, &c)
	if err != nil {
		return errors.Join(err, empty(dir))
	}
	a.warn(result.Insecure)
	return a.Emit(result, func(w io.Writer) { result.write(w, &c) })
}

// empty takes away what a founding left that failed: nobody was told of it.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// make makes keys and files, the configuration last: without it nothing runs. A device
// is ready, and has its fleet key if it is to have one.
func (a *app) make(ctx context.Context, n *founding, c *config) (result *initJSON, err error) {
	dir := filepath.Dir(c.file)
	result = &initJSON{Config: c.file, Anchor: c.Anchor, Insecure: c.insecure()}
	counts, err := c.anchors(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
	if result.Server, err = a.makeTLS(c.path(c.TLSKey)); err != nil {
		return nil, err
	}
	var card vaultd.Card
	if n.fleet.advertise != "" {
		result.Card = filepath.Join(dir, "member.card")
		if card, err = n.fleet.makeKeys(ctx, c, counts.device, result.Card); err != nil {
			return nil, err
		}
	}
	if n.fleet.join == "" {
		result.Bundle = filepath.Join(dir, "bundle")
		if c.Fleet, err = n.found(ctx, c, counts, card, result.Bundle); err != nil {
			return nil, err
		}
	}
	result.Fleet = c.Fleet
	text, err := c.write()
	if err != nil {
		return nil, err
	}
	if err := durable.CreateExclusive(c.file, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return result, nil
}

func (j *initJSON) write(w io.Writer, c *config) {
	fmt.Fprintf(w, "fleet id    %s\nserver pin  %s\n", j.Fleet, j.Server)
	if j.Bundle != "" {
		fmt.Fprintf(w, "bundle      %s\n", j.Bundle)
	}
	if j.Card != "" {
		fmt.Fprintf(w, "card        %s\n", j.Card)
	}
	fmt.Fprintln(w)
	if c.servable() != nil {
		fmt.Fprintf(w, "next: list the client pin that chatd init prints under relays in %s\n", j.Config)
	}
	if j.Bundle == "" {
		fmt.Fprintf(w, "next: give %s to an operator, for vaultd operator propose add\n", j.Card)
		fmt.Fprintf(w, "then: vaultd join --config %s\n", j.Config)
	}
	fmt.Fprintf(w, "then: vaultd serve --config %s\n", j.Config)
}

func (n founding) config() (config, error) {
	c := defaults()
	admin, err := nextPort(n.listen)
	if err != nil {
		return c, command.Usage(err.Error(), "--listen 127.0.0.1:7443")
	}
	c.Listen, c.Admin, c.Relays = n.listen, admin, n.relays
	c.Fleet, c.Peers = n.fleet.join, n.fleet.listenAt()
	n.anchor.settle(&c)
	c.InsecureSoftwareAnchor, c.InsecureAnyRelay, c.InsecureWaits = n.softwareAnchor, n.anyRelay, n.weakWaits
	i := issuer{Name: n.issuer, Audience: n.audience, Algorithms: []string{n.algorithm}, MaxLife: command.Duration(time.Hour)}
	if strings.HasPrefix(n.jwks, "https://") {
		i.JWKSURL = n.jwks
	} else if i.JWKSFile, err = filepath.Abs(n.jwks); err != nil {
		return c, err
	}
	c.Issuers = []issuer{i}
	if _, err := verifier(&c); err != nil {
		return c, err
	}
	return c, nil
}

func (n founding) policy() fleet.Policy {
	p := fleet.DefaultPolicy()
	p.Insecure = n.softwareAnchor || n.weakWaits
	p.MaxAttempts = uint8(min(n.attempts, 255))
	p.Waits = p.Waits[:min(len(p.Waits), max(0, int(p.MaxAttempts)-1))]
	if n.weakWaits {
		for i := range p.Waits {
			p.Waits[i] = uint64(n.waits.Milliseconds())
		}
	}
	return p
}

// checkPolicy refuses a policy that no fleet can have, before anything is made.
func (n founding) checkPolicy() error {
	if err := n.policy().Check(); err != nil {
		return command.Usage(err.Error(), "see --attempts and --insecure-waits: vaultd help init")
	}
	return nil
}

// found makes the fleet and its first bundle, and returns the fleet id.
func (n founding) found(ctx context.Context, c *config, counts *anchors, self vaultd.Card, bundle string) (string, error) {
	id, signed, err := vaultd.Found(ctx, vaultd.Founding{
		Dir: c.path(c.State), Anchor: counts.root, Device: counts.device, Policy: n.policy(), Self: self,
		Operators: n.fleet.sorted(), Quorum: uint8(n.fleet.quorum), Groups: uint32(n.fleet.groups), GroupAnchor: counts.group,
	})
	if err != nil {
		return "", fmt.Errorf("founding the fleet: %w", err)
	}
	if err := durable.WriteFile(bundle, signed, 0o644); err != nil {
		return "", fmt.Errorf("writing the bundle: %w", err)
	}
	return fleet.FormatID(id), nil
}

func (a *app) makeTLS(file string) (pin string, err error) {
	key, err := vaultd.NewTLSKey()
	if err != nil {
		return "", err
	}
	if err := durable.CreateExclusive(file, encodePEM(key), 0o600); err != nil {
		return "", fmt.Errorf("writing the TLS key: %w", err)
	}
	_, p, err := vaultd.Certificate(key, time.Now())
	return p.String(), err
}

// warn tells of insecure choices, which say so in their own names.
func (a *app) warn(choices []string) {
	for _, c := range choices {
		a.Warn("insecure: " + c)
	}
}
