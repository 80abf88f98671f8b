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
	"keepsake.example/sealed"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Founding says what fleet to found.
type Founding struct {
	Dir    string        // for the replica; nothing may be there
	Anchor anchor.Anchor // empty; the caller closes it
	Policy fleet.Policy  // must say insecure with an anchor that is; for good
	// KeyValidity is how long the first channel key is valid; 0: the default.
	KeyValidity time.Duration
	Clock       Clock // nil: the host's
}

// Found founds a fleet of one replica: an identity key, a naming key and a
// first channel key, which exist nowhere but in the replica's sealed files. It
// returns the fleet id, which clients pin, and the first bundle.
func Found(ctx context.Context, f Founding) (sealed.FleetID, []byte, error) {
	var none sealed.FleetID
	if f.Clock == nil {
		f.Clock = hostClock{}
	}
	if f.KeyValidity == 0 {
		f.KeyValidity = DefaultLimits().KeyValidity
	}
	if err := f.check(); err != nil {
		return none, nil, err
	}
	now := startTime(f.Clock, 0).now()
	genesis, first := f.genesis(now), addKey(now, f.KeyValidity)
	entries := [][]byte{genesis.Encode(), first.Encode()}
	defer func() {
		wipeCommand(genesis)
		wipeCommand(first)
		clear(entries[0])
		clear(entries[1])
	}()
	bundle, err := firstBundle(genesis, first)
	if err != nil {
		return none, nil, err
	}
	err = replica.Create(ctx, replica.Config{Dir: f.Dir, Anchor: f.Anchor, Machine: newMachine()}, entries)
	if err != nil {
		return none, nil, fmt.Errorf("making the replica: %w", err)
	}
	return sealed.FleetID(genesis.Fleet), bundle, nil
}

func (f Founding) check() error {
	if err := f.Policy.Check(); err != nil {
		return fmt.Errorf("founding with this policy: %w", err)
	}
	if f.Anchor.Describe().Insecure && !f.Policy.Insecure {
		return fmt.Errorf("%w: a fleet on the anchor %q must say insecure in its policy", ErrInsecure, f.Anchor.Describe().Name)
	}
	if wall := f.Clock.Wall(); wall.UnixMilli() > vaultapi.MaxTime || wall.Unix() < 0 {
		return errors.New("vaultd: the host's date cannot be right")
	}
	return nil
}

func (f Founding) genesis(now uint64) *vault.Command {
	c := &vault.Command{Kind: vault.Genesis, Time: now, Policy: vault.Policy(f.Policy)}
	rand.Read(c.IdentitySeed[:])
	rand.Read(c.NamingKey[:])
	identity := ed25519.NewKeyFromSeed(c.IdentitySeed[:])
	defer clear(identity)
	c.Fleet = fleet.ID(identity.Public().(ed25519.PublicKey))
	return c
}

// firstBundle is what the new fleet's bundle will be, found by applying the two
// commands to a state of its own: before anything is written, so that a fleet
// that could not sign is not founded.
func firstBundle(commands ...*vault.Command) ([]byte, error) {
	state := vault.New()
	for _, c := range commands {
		if _, err := state.Apply(c); err != nil {
			return nil, fmt.Errorf("founding: %w", err)
		}
	}
	view := state.Fleet()
	defer view.Wipe()
	var keys keyring
	defer keys.wipe()
	if err := keys.refresh(view); err != nil {
		return nil, err
	}
	bundle, _ := keys.signed()
	return bundle, nil
}
