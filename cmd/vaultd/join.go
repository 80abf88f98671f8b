package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vaultd"
)

// fleeting is what init is told of the fleet of several machines.
type fleeting struct {
	join                        string
	name, dataCenter, advertise string
	peers                       string
	operators                   []roster.Operator
	quorum, groups              uint
}

func (n *fleeting) flags(f *flag.FlagSet) {
	f.StringVar(&n.join, "join", "", "make a machine that joins the fleet with this `ID`, and found nothing")
	f.StringVar(&n.name, "name", "", "`NAME` of this machine in the fleet: a-z, 0-9, - and .")
	f.StringVar(&n.dataCenter, "data-center", "", "`NAME` of the data center it is in")
	f.StringVar(&n.advertise, "advertise", "", "`HOST:PORT` at which the other members reach it")
	f.StringVar(&n.peers, "peers", "", "`ADDRESS` where it listens for them (default: --advertise, or its port when that is a name)")
	f.Func("operator", "`NAME=KEY` of one who signs changes, from vaultd operator keygen; may be given again", func(s string) error {
		operator, err := parseOperator(s)
		n.operators = append(n.operators, operator)
		return err
	})
	f.UintVar(&n.quorum, "quorum", 0, "`NUMBER` of operators that must sign a change")
	f.UintVar(&n.groups, "groups", 1, "`NUMBER` of groups that accounts are spread over, a power of two up to 256; for good")
}

// check refuses half a fleet.
func (n *fleeting) check() error {
	several := n.name != "" || n.dataCenter != "" || n.advertise != "" || n.peers != "" || n.join != "" || len(n.operators) > 0
	if several && (n.name == "" || n.dataCenter == "" || n.advertise == "") {
		return command.Usage("--name, --data-center and --advertise belong together: they say what the other members know this machine by", "see: vaultd help init")
	}
	if several {
		if err := roster.CheckPlace(n.name, n.dataCenter, n.advertise); err != nil {
			return command.Usage(err.Error(), "it is what the other members know this machine by: --name fra1 --data-center frankfurt --advertise fra1.vault.example.org:7445")
		}
	}
	switch {
	case n.join != "" && (len(n.operators) > 0 || n.quorum > 0 || n.groups != 1):
		return command.Usage("--operator, --quorum and --groups are said once, when the fleet is founded", "leave them out with --join")
	case n.join != "":
		if _, err := fleet.ParseID(n.join); err != nil {
			return command.Usage(fmt.Sprintf("%q is no fleet id", n.join), "--join takes the id that vaultd init printed on the first machine")
		}
	case several && len(n.operators) == 0:
		return command.Usage("--operator is missing: without operators nobody could ever add a second machine, or replace this one", "vaultd operator keygen makes their keys")
	case n.groups < 1 || n.groups > roster.MaxGroups || n.groups&(n.groups-1) != 0:
		return command.Usage(fmt.Sprintf("%d groups", n.groups), fmt.Sprintf("1 to %d, a power of two", roster.MaxGroups))
	case len(n.operators) > 0 && (n.quorum < 1 || int(n.quorum) > len(n.operators)):
		return command.Usage(fmt.Sprintf("--quorum is %d of %d operators", n.quorum, len(n.operators)), "a majority is usual: 2 of 3, 3 of 5")
	}
	return n.checkOperators()
}

// checkOperators refuses one who is there twice: a quorum is of different people.
func (n *fleeting) checkOperators() error {
	names, keys := map[string]bool{}, map[[32]byte]bool{}
	for _, o := range n.operators {
		if names[o.Name] || keys[o.Key] {
			return command.Usage("--operator "+o.Name+": name or key is there twice", "each operator has a name and a key of their own: vaultd operator keygen")
		}
		names[o.Name], keys[o.Key] = true, true
	}
	if len(n.operators) > roster.MaxOperators {
		return command.Usage(fmt.Sprintf("%d operators, and there can be %d", len(n.operators), roster.MaxOperators), "see: vaultd help init")
	}
	return nil
}

func (n *fleeting) sorted() []roster.Operator {
	slices.SortFunc(n.operators, func(x, y roster.Operator) int { return strings.Compare(x.Name, y.Name) })
	return n.operators
}

// listenAt is where to listen for the other members: on the address that they are given, or, if
// that is a name, which need not be one of this machine's own, on the port of all addresses.
func (n *fleeting) listenAt() string {
	if n.peers != "" {
		return n.peers
	}
	host, port, err := net.SplitHostPort(n.advertise)
	if err != nil || net.ParseIP(host) != nil {
		return n.advertise
	}
	return net.JoinHostPort("", port)
}

// makeKeys makes what the machine is known by, and its card.
func (n *fleeting) makeKeys(ctx context.Context, c *config, d anchor.Device, card string) (vaultd.Card, error) {
	keys, err := newKeys(ctx, d)
	if err != nil {
		return vaultd.Card{}, err
	}
	defer keys.Wipe()
	text := keys.Encode()
	defer clear(text)
	if err := durable.CreateExclusive(c.path(c.Keys), text, 0o600); err != nil {
		return vaultd.Card{}, fmt.Errorf("writing the member's keys: %w", err)
	}
	self := keys.Card(n.name, n.dataCenter, n.advertise)
	if err := durable.CreateExclusive(card, []byte(self.Text()), 0o644); err != nil {
		return vaultd.Card{}, fmt.Errorf("writing the card: %w", err)
	}
	return self, nil
}

func newKeys(ctx context.Context, d anchor.Device) (*vaultd.Keys, error) {
	if d != nil {
		return vaultd.NewDeviceKeys(ctx, d)
	}
	return vaultd.NewKeys()
}

// memberKeys reads what this machine is known by; d is its device, if it has one.
func (c *config) memberKeys(ctx context.Context, d anchor.Device) (*vaultd.Keys, error) {
	file := c.path(c.Keys)
	text, err := command.ReadFile(file, 4096)
	if err != nil {
		return nil, fmt.Errorf("reading the member's keys: %w", err)
	}
	defer clear(text)
	keys, err := decodeKeys(ctx, d, text)
	if errors.Is(err, anchor.ErrBox) {
		return nil, command.Fail(exitForeign, file+": "+err.Error(), foreign)
	}
	if err != nil {
		return nil, command.Fail(exitDamaged, file+": "+err.Error(), "if they are lost, this machine joins anew, as another member: vaultd help replace")
	}
	return keys, nil
}

func decodeKeys(ctx context.Context, d anchor.Device, text []byte) (*vaultd.Keys, error) {
	if d != nil {
		return vaultd.DecodeDeviceKeys(ctx, d, text)
	}
	return vaultd.DecodeKeys(text)
}

var joinCommand = command.Command[app, options]{
	Name: "join", Short: "enter the fleet that has taken this machine in",
	Long: `Has a new machine enter its fleet, after vaultd init --join and after the fleet has
accepted it (vaultd operator propose add, sign, submit). It learns from the signed
roster which member it is, asks the others for the secret of its group, which they
seal to its key, and makes an empty replica. It asks for two minutes, and ends with
code 15 when too few of them answer. vaultd serve then catches up by itself, and
answers clients when it has. What another fleet than the one given to init signed
is not believed.`,
	Example: `  vaultd join --config /var/lib/vaultd/vaultd.toml --from 10.0.1.5:7444
  vaultd join --config /var/lib/vaultd/vaultd.toml --roster roster`,
	Flags: func(f *flag.FlagSet, o *options) {
		configFlag(f, o)
		f.StringVar(&o.admin, "from", "", "admin `ADDRESS` of any member, to get the roster from")
		f.StringVar(&o.roster, "roster", "", "`FILE` with the signed roster, from vaultd operator show --out")
	},
	Run: (*app).join,
}

func (a *app) join(ctx context.Context, o *options) error {
	if o.admin == "" && o.roster == "" {
		return command.Usage("--from or --roster is missing: where to read who belongs to the fleet", "see: vaultd help join")
	}
	c, err := readConfig(o.config)
	if err != nil {
		return err
	}
	if c.Peers == "" {
		return command.BadConfig("peers is empty: this machine was not made to join a fleet", "vaultd init --join makes one")
	}
	signed, r, err := fetchRoster(ctx, o)
	if err != nil {
		return err
	}
	over := a.tellLater(noticeAfter, askedForWelcome(r))
	number, err := a.enter(ctx, c, signed, r.Fleet)
	over()
	if err != nil {
		return notJoined(fmt.Errorf("joining the fleet: %w", err))
	}
	return a.Emit(map[string]any{"fleet": c.Fleet, "member": number, "config": c.file}, func(w io.Writer) {
		fmt.Fprintf(w, "joined as member %d\nthen: vaultd serve --config %s\n", number, c.file)
	})
}

// notJoined says of members that gave no welcome in time that they are too few: it is not the admin
// address that does not answer.
func notJoined(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return command.Fail(exitNoQuorum, err.Error(), "a majority of the voters must be up, and reach each other and this machine: vaultd status on one of them says who is. Then run it again, unless a member says that this machine was welcomed already")
}

// enter makes this machine's replica, with what the members give it.
func (a *app) enter(ctx context.Context, c *config, signed []byte, id sealed.FleetID) (number uint64, err error) {
	counts, err := c.anchors(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
	keys, err := c.memberKeys(ctx, counts.device)
	if err != nil {
		return 0, err
	}
	defer keys.Wipe()
	peers, err := c.listenPeers()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return vaultd.Join(ctx, vaultd.Joining{
		Dir: c.path(c.State), Anchor: counts.root, Device: counts.device, Fleet: id, Roster: signed, Keys: keys, Peers: peers,
		Log: slog.New(slog.NewJSONHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// listenPeers is where the other members connect; nil for a fleet of one.
func (c *config) listenPeers() (net.Listener, error) {
	if c.Peers == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Peers)
	if err != nil {
		return nil, fmt.Errorf("listening for the other members: %w", err)
	}
	return l, nil
}

// openKeys reads the member's keys, nil where the fleet is this machine alone.
func (c *config) openKeys(ctx context.Context, d anchor.Device) (*vaultd.Keys, error) {
	if _, err := os.Stat(c.path(c.Keys)); c.Peers == "" && errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return c.memberKeys(ctx, d)
}
