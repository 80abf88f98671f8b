package vault

import (
	"errors"
	"fmt"

	"keepsake.example/internal/wire"
	"keepsake.example/vaultapi"
)

const (
	// MaxCommand is the longest command in bytes. Those of today have under 2 KiB.
	MaxCommand     = 8 << 10
	commandVersion = "\x01"
)

// ErrCommand is a command that is not in the one form of spec/replication.md, or
// with a value out of its range.
var ErrCommand = errors.New("vault: not a command in its one form")

// Kind is what a command does.
type Kind uint8

// The kinds of commands. There is none that reads a secret, raises a limit,
// lowers a count or shortens a wait.
const (
	Genesis       Kind = 1 + iota // founds the fleet: the first command, and only the first
	AddChannelKey                 // adds a channel key
	Request                       // does what a client asked for
	Tick                          // lets time pass
	Restrict                      // makes the policy stricter: only for a change that operators signed
)

// Command is one entry of the replicated log. The fields that its kind does not
// name are zero.
type Command struct {
	Kind Kind
	Time uint64 // the proposer's, milliseconds since 1970-01-01 UTC; until the year 2246

	// Of Genesis, and Policy of Restrict too.
	Fleet        [32]byte // must be the fleet id that follows from IdentitySeed
	IdentitySeed Seed     // Ed25519, RFC 8032
	NamingKey    Seed
	Policy       Policy

	// Of AddChannelKey.
	ChannelKey ChannelKey

	// Of Request. That the token and its binding hold is for the proposer to see to.
	Account vaultapi.Account
	Who     [8]byte // whom the history names
	Body    vaultapi.Body
	Random  [32]byte // fresh random bytes, for the proof of a last attempt
	Unasked bool     // nobody waits here for the effect: no key is copied into it. Not in the bytes
}

// Encode returns the command's bytes, for the caller to clear: most kinds hold
// secrets. It panics on values out of their range, which DecodeCommand never
// returns and [State.Check] never lets pass.
func (c *Command) Encode() []byte {
	if err := c.check(); err != nil {
		panic("vault: internal error: encoding a command: " + err.Error())
	}
	w := wire.Append(make([]byte, 0, MaxCommand/4)) // one that grows leaves copies behind
	c.layout(w)
	return w.Written()
}

// DecodeCommand reads the bytes of [Command.Encode], and no others: ErrCommand.
// The command shares no memory with b.
func DecodeCommand(b []byte) (*Command, error) {
	if len(b) > MaxCommand {
		return nil, fmt.Errorf("%w: %d bytes", ErrCommand, len(b))
	}
	c, w := new(Command), wire.Read(b)
	c.layout(w)
	if !w.Done() {
		return nil, fmt.Errorf("%w: kind %d, %d bytes", ErrCommand, c.Kind, len(b))
	}
	return c, c.check()
}

func (c *Command) layout(w *wire.Codec) {
	w.Constant(commandVersion)
	w.U8((*uint8)(&c.Kind))
	w.U64(&c.Time)
	switch c.Kind {
	case Genesis:
		w.Bytes(c.Fleet[:])
		w.Bytes(c.IdentitySeed[:])
		w.Bytes(c.NamingKey[:])
		c.Policy.layout(w)
	case Restrict:
		c.Policy.layout(w)
	case AddChannelKey:
		c.ChannelKey.layout(w)
	case Request:
		w.Bytes(c.Account[:])
		w.Bytes(c.Who[:])
		w.Bytes(c.Random[:])
		c.layoutBody(w)
	}
}

// layoutBody is the type of the request and its body, which is the rest.
func (c *Command) layoutBody(w *wire.Codec) {
	var t uint8
	if w.Reading() {
		var err error
		w.U8(&t)
		c.Body, err = vaultapi.DecodeBody(vaultapi.Type(t), w.Rest())
		w.Must(err == nil)
		return
	}
	t, body := uint8(c.Body.Type()), vaultapi.EncodeBody(c.Body)
	defer clear(body) // k may be in it
	w.U8(&t)
	w.Bytes(body)
}

// check refuses a value out of its range.
func (c *Command) check() error {
	switch {
	case c.Time > maxTime:
		return fmt.Errorf("%w: time %d", ErrCommand, c.Time)
	case c.Kind == Genesis && c.Fleet != fleetID(&c.IdentitySeed):
		return fmt.Errorf("%w: a fleet id of another identity key", ErrCommand)
	case c.Kind == Genesis || c.Kind == Restrict:
		return c.Policy.check(c.Policy.MaxAttempts)
	case c.Kind == AddChannelKey:
		return c.ChannelKey.check()
	case c.Kind == Tick || c.Kind == Request && c.Body != nil && c.Body.Type() != vaultapi.Harden: // a Harden is about no record
		return nil
	}
	return fmt.Errorf("%w: kind %d", ErrCommand, c.Kind)
}
