package vaultd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/token"
	"keepsake.example/vault"
)

// Config says what to serve and within which limits.
type Config struct {
	Dir    string        // of the replica; made by Found
	Anchor anchor.Anchor // the one it was founded on; the caller closes it after Close
	// Device is this machine's hardware, of which Anchor and GroupAnchor are ledgers; nil for
	// anchors in folders of their own. It has the machine's key and the fleet's; the caller
	// closes it after Close.
	Device anchor.Device
	Tokens *token.Verifier // whose tokens say whose account a request is about; the audience is the vault's
	Limits Limits          // zero fields take DefaultLimits, but for Quantum

	// Keys are this machine's, and Peers is where the other members connect: without
	// both the fleet can have no other member. The server closes Peers.
	Keys  *Keys
	Peers net.Listener
	// GroupAnchor opens the anchor of a group from 1 that this machine is a member of,
	// an empty one when it joins. The server closes it. It may be called for several groups at once.
	GroupAnchor func(group uint32) (anchor.Anchor, error)

	// AcceptInsecureAnchor lets an anchor serve that says it protects nothing, and
	// AcceptInsecureWaits a fleet whose waits or cool-down are shorter than the default.
	AcceptInsecureAnchor, AcceptInsecureWaits bool

	// MaxClockJump is by how much the host's date may be ahead of the last time
	// that the vault knows, at the start. What it takes over it never gives back:
	// a date ten years ahead, believed once, would expire every token and key for
	// ten years. Default 30 days; after a longer rest give more, once.
	MaxClockJump time.Duration

	// Notes are further insecure choices of the caller's, to be told at start, in
	// the status and in the metrics: a word, a colon, an explanation.
	Notes []string

	Clock   Clock                    // nil: the host's
	version uint32                   // of tests of fleets of two versions; Version
	overlap int                      // ticks, of tests of members that sleep; the replica's
	room    func(group uint32) error // of tests of full disks; nil: what the replica says

	Log *slog.Logger // nil: none. It is told of keys, halts and drains, never of a request
}

const defaultClockJump = 30 * 24 * time.Hour

func (c Config) filled() (Config, error) {
	if c.Dir == "" || c.Anchor == nil || c.Tokens == nil {
		return c, errors.New("vaultd: a folder, an anchor and a token verifier are needed")
	}
	if c.Clock == nil {
		c.Clock = hostClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.version == 0 {
		c.version = Version
	}
	if c.MaxClockJump == 0 {
		c.MaxClockJump = defaultClockJump
	}
	c.Limits = c.Limits.filled()
	return c, c.Limits.check()
}

// accept refuses what is insecure and was not accepted by name. The fleet must
// have told its clients, too: its bundle's flag is fixed when it is founded.
func (c Config) accept(p vault.Policy) error {
	if c.Anchor.Describe().Insecure {
		if !c.AcceptInsecureAnchor {
			return fmt.Errorf("%w: the anchor %q protects nothing; development only", ErrInsecure, c.Anchor.Describe().Name)
		}
		if !p.Insecure {
			return fmt.Errorf("%w: the fleet's bundle does not say insecure, as one with the anchor %q must", ErrInsecure, c.Anchor.Describe().Name)
		}
	}
	if fleet.Policy(p).Weak() && !c.AcceptInsecureWaits {
		return fmt.Errorf("%w: the fleet's waits or cool-down are shorter than the default", ErrInsecure)
	}
	return nil
}
