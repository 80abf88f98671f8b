package vaultd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// Founding says what fleet to found.
type Founding struct {
	Dir    string        // for the replica; nothing may be there
	Anchor anchor.Anchor // empty; the caller closes it
	// Device is the hardware that Anchor is a ledger of, nil for none. If it holds a fleet
	// key, the fleet is hardened with it, for good: every machine needs the key.
	Device anchor.Device
	Policy fleet.Policy // must say insecure with an anchor that is; for good
	// Self is the card of this machine, the first member. With Policy.Insecure it may
	// be empty: the fleet is then this machine alone, for good, and has keys that
	// nobody holds; for development.
	Self Card
	// Operators are who signs changes of the fleet, Quorum how many of them it takes.
	// With Policy.Insecure there may be none: then nobody can ever change it.
	Operators []roster.Operator
	Quorum    uint8
	// Tolerate is how many voters may have lost what they acknowledged; see
	// spec/replication.md §12. Members join under it: with one voter it must be 0.
	Tolerate uint8
	// Groups is over how many groups the accounts are spread, a power of two up to 256,
	// for good; 0: 1. GroupAnchor opens an empty anchor for each group from 1; Found closes it.
	Groups      uint32
	GroupAnchor func(group uint32) (anchor.Anchor, error)
	// KeyValidity is how long the first channel key is valid; 0: the default.
	KeyValidity time.Duration
	Clock       Clock // nil: the host's
}

// first is the number of the member that founds a fleet.
const first = 1

// Found founds a fleet of one member: an identity key, a naming key and a first
// channel key, which exist nowhere but in the members' sealed files. It returns
// the fleet id, which clients and newcomers pin, and the first bundle.
func Found(ctx context.Context, f Founding) (sealed.FleetID, []byte, error) {
	var none sealed.FleetID
	if err := f.fill(); err != nil {
		return none, nil, err
	}
	now := startTime(f.Clock, 0).now()
	genesis, key := f.genesis(now), addKey(now, f.KeyValidity)
	defer machine.Wipe(genesis)
	defer machine.Wipe(key)
	r, err := f.roster(ctx, genesis.Fleet)
	if err != nil {
		return none, nil, err
	}
	bundle, err := firstBundle(r, genesis, key)
	if err != nil {
		return none, nil, err
	}
	// The root comes last: a fleet is there when its root group is.
	for number := f.Groups - 1; number > machine.Root; number-- {
		if err := f.createOther(ctx, number, r, genesis); err != nil {
			return none, nil, err
		}
	}
	if err := f.create(ctx, machine.Root, f.Anchor, r, genesis, key); err != nil {
		return none, nil, err
	}
	return sealed.FleetID(genesis.Fleet), bundle, nil
}

// fill checks, and puts defaults in the place of what is empty.
func (f *Founding) fill() error {
	if f.Clock == nil {
		f.Clock = hostClock{}
	}
	if f.KeyValidity == 0 {
		f.KeyValidity = DefaultLimits().KeyValidity
	}
	f.Groups = max(f.Groups, 1)
	if err := f.check(); err != nil {
		return err
	}
	if f.Policy.Insecure && f.Self.Name == "" {
		keys, err := NewKeys()
		if err != nil {
			return err
		}
		defer keys.Wipe()
		f.Self = keys.Card("alone", "none", "127.0.0.1:1")
	}
	if f.Policy.Insecure && len(f.Operators) == 0 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key for nobody: %w", err)
		}
		f.Operators, f.Quorum = []roster.Operator{{Name: "nobody", Key: [32]byte(public)}}, 1
	}
	return nil
}

func (f *Founding) check() error {
	if err := f.Policy.Check(); err != nil {
		return fmt.Errorf("founding with this policy: %w", err)
	}
	if f.Anchor.Describe().Insecure && !f.Policy.Insecure {
		return fmt.Errorf("%w: a fleet on the anchor %q must say insecure in its policy", ErrInsecure, f.Anchor.Describe().Name)
	}
	if wall := f.Clock.Wall(); wall.UnixMilli() > vaultapi.MaxTime || wall.Unix() < 0 {
		return errors.New("vaultd: the host's date cannot be right")
	}
	if f.Groups > 1 && f.GroupAnchor == nil {
		return errors.New("vaultd: several groups need an anchor each")
	}
	return nil
}

func (f *Founding) genesis(now uint64) *vault.Command {
	c := &vault.Command{Kind: vault.Genesis, Time: now, Policy: vault.Policy(f.Policy)}
	rand.Read(c.IdentitySeed[:])
	rand.Read(c.NamingKey[:])
	identity := ed25519.NewKeyFromSeed(c.IdentitySeed[:])
	defer clear(identity)
	c.Fleet = fleet.ID(identity.Public().(ed25519.PublicKey))
	return c
}

// roster is the fleet of this machine alone.
func (f *Founding) roster(ctx context.Context, id [32]byte) (*roster.Roster, error) {
	self := f.Self.Member(first)
	self.Learner = false
	public, err := fleetKeyOf(ctx, f.Device)
	if err != nil {
		return nil, err
	}
	r := &roster.Roster{
		Fleet: id, Groups: f.Groups, Operators: f.Operators, Quorum: f.Quorum, Tolerate: f.Tolerate,
		Policy: roster.Policy(f.Policy), Members: []roster.Member{self}, Highest: first, Hardening: public,
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("founding: %w", err)
	}
	return r, nil
}

// create makes this machine's member of a group.
func (f *Founding) create(ctx context.Context, number uint32, a anchor.Anchor, r *roster.Roster, commands ...*vault.Command) error {
	entries := [][]byte{r.Encode()}
	for _, c := range commands {
		entries = append(entries, c.Encode())
	}
	defer func() {
		for _, e := range entries {
			clear(e)
		}
	}()
	c := replica.Config{
		Dir: folder(f.Dir, number), Anchor: a,
		NewMachine: func() replica.Machine { return machine.New(number, nil) },
	}
	if err := replica.Create(ctx, c, first, entries); err != nil {
		return fmt.Errorf("making the replica of group %d: %w", number, err)
	}
	return nil
}

func (f *Founding) createOther(ctx context.Context, number uint32, r *roster.Roster, genesis *vault.Command) error {
	a, err := f.GroupAnchor(number)
	if err != nil {
		return fmt.Errorf("opening the anchor of group %d: %w", number, err)
	}
	return errors.Join(f.create(ctx, number, a, r, genesis), a.Close())
}

// firstBundle is what the new fleet's bundle will be, found by applying the two
// commands to a state of its own: before anything is written, so that a fleet
// that could not sign is not founded.
func firstBundle(r *roster.Roster, commands ...*vault.Command) ([]byte, error) {
	state := vault.New()
	for _, c := range commands {
		if _, err := state.Apply(c); err != nil {
			return nil, fmt.Errorf("founding: %w", err)
		}
	}
	view := state.Fleet()
	defer view.Wipe()
	keys := keyring{hardening: r.Hardening}
	defer keys.wipe()
	if err := keys.refresh(view); err != nil {
		return nil, err
	}
	bundle, _ := keys.signed()
	return bundle, nil
}
