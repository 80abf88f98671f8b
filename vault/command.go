package vault

import (
	"keepsake.example/vaultapi"
)

// Kind is what a command does.
type Kind uint8

// The kinds of commands.
const (
	Genesis       Kind = 1 + iota // founds the fleet: the first command, and only the first
	AddChannelKey                 // adds a channel key
	Request                       // does what a client asked for
	Tick                          // lets time pass
)

// Seed is 32 secret bytes. It prints as one fixed word.
type Seed [32]byte

// Command is one entry of the log.
type Command struct {
	Kind Kind
	Time uint64 // the proposer's, milliseconds since 1970-01-01 UTC

	// Genesis.
	Fleet        [32]byte // the fleet id that follows from IdentitySeed
	IdentitySeed Seed     // Ed25519
	NamingKey    Seed
	Policy       Policy

	// AddChannelKey.
	ChannelKey ChannelKey

	// Request.
	Account vaultapi.Account
	Who     [8]byte
	Body    vaultapi.Body
	Random  [32]byte // fresh: for the proof of a last attempt
}

// ChannelKey is a channel key as the state holds it, with its validity in milliseconds.
type ChannelKey struct {
	Seed                Seed
	NotBefore, NotAfter uint64
}

// Policy limits guesses (spec/vault-protocol.md §7.2). It has the fields of
// fleet.Policy, so that one converts into the other.
type Policy struct {
	MaxAttempts uint8    // m, the largest attempt limit of a record, 1 to 10
	Waits       []uint64 // milliseconds after the n-th attempt without proof, n from 1 to m − 1; never falling
	CoolDown    uint64   // milliseconds until a change without authority takes effect
	Grace       uint64   // milliseconds for which a last attempt may be repeated and proved
	Insecure    bool     // a development anchor, or weaker limits than the default
}

// Encode returns the command's bytes.
func (c *Command) Encode() []byte { return nil }

// DecodeCommand reads the bytes of [Command.Encode].
func DecodeCommand(b []byte) (*Command, error) { return nil, errMissing }
