package clienttest

import (
	"keepsake.example/fleet"
	"keepsake.example/vault"
)

// Restrict makes the vault's policy stricter, and a new bundle.
func (s *Server) Restrict(p fleet.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(&vault.Command{Kind: vault.Restrict, Policy: vault.Policy(p)})
	s.Policy = p
	s.serial++
}
