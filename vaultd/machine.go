package vaultd

import (
	"fmt"
	"io"

	"keepsake.example/replica"
	"keepsake.example/vault"
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
	return m.state.Apply(c)
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
