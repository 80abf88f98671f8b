package vaultd

import (
	"fmt"
	"io"

	"keepsake.example/replica"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// machine lets a replica drive the vault: its entries are encoded commands.
type machine struct{ state *vault.State }

func newMachine() *machine { return &machine{vault.New()} }

// Apply decodes and applies one command; the effect is a *vault.Effect.
func (m *machine) Apply(entry []byte) (any, error) {
	c, err := vault.DecodeCommand(entry)
	if err != nil {
		return nil, fmt.Errorf("decoding a committed command: %w", err)
	}
	defer wipeCommand(c)
	return m.state.Apply(c)
}

// wipeCommand takes back what a command brought: the state has its own copy.
func wipeCommand(c *vault.Command) {
	clear(c.IdentitySeed[:])
	clear(c.NamingKey[:])
	clear(c.ChannelKey.Seed[:])
	if p, ok := c.Body.(*vaultapi.ProposeBody); ok {
		p.Key.Wipe()
	}
}

func (m *machine) Checkpoint() replica.Checkpoint { return m.state.Checkpoint() }

// Restore takes the place of the empty state.
func (m *machine) Restore(r io.Reader) error {
	state, err := vault.Load(r)
	if err != nil {
		return fmt.Errorf("loading the vault's state: %w", err)
	}
	m.state = state
	return nil
}
