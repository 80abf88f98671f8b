package vault

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"keepsake.example/internal/memo"
	"keepsake.example/internal/wire"
	"keepsake.example/vaultapi"
)

const (
	minute = 60 * 1000 // milliseconds
	hour   = 60 * minute
	// maxDuration is the longest wait, cool-down and grace: 366 days.
	maxDuration = 366 * 24 * hour
	// maxTime is the last time of a command: its deadlines are under vaultapi.MaxTime.
	maxTime = vaultapi.MaxTime - 2*maxDuration
	// maxKeys is how many channel keys a bundle can name (§7.1).
	maxKeys = 8
)

// Policy limits guesses, for all records of a fleet (spec/vault-protocol.md §7.2).
// It has the fields of fleet.Policy, so that either converts into the other.
type Policy struct {
	MaxAttempts uint8    // m, the largest attempt limit of a record, 1 to 10
	Waits       []uint64 // milliseconds after the n-th attempt without proof, n from 1 to m − 1; never falling
	CoolDown    uint64   // milliseconds until a change without authority takes effect
	Grace       uint64   // milliseconds for which a last attempt may be repeated and proved
	Insecure    bool     // a development anchor, or weaker limits than the default
}

func (p *Policy) layout(w *wire.Codec) {
	w.U8(&p.MaxAttempts)
	wire.List(w, &p.Waits, vaultapi.MaxAttempts, w.U64)
	w.U64(&p.CoolDown)
	w.U64(&p.Grace)
	w.Flag(&p.Insecure)
}

// check takes the largest limit of a record: it has waits for that many attempts.
func (p *Policy) check(limit uint8) error {
	times := append([]uint64{p.CoolDown, p.Grace}, p.Waits...)
	switch {
	case p.MaxAttempts < 1 || p.MaxAttempts > limit || limit > vaultapi.MaxAttempts || len(p.Waits) != int(limit)-1:
		return fmt.Errorf("%w: policy: %d attempts, %d waits", ErrCommand, p.MaxAttempts, len(p.Waits))
	case !slices.IsSorted(p.Waits) || slices.Max(times) > maxDuration:
		return fmt.Errorf("%w: policy: waits that fall, or a time over 366 days", ErrCommand)
	}
	return nil
}

// wait is how long after the n-th attempt without proof, n from 1, the next is
// allowed (rule 5). A count that was carried over may be past the last wait.
func (p *Policy) wait(n uint8) uint64 {
	if len(p.Waits) == 0 {
		return 0
	}
	return p.Waits[min(int(n), len(p.Waits))-1]
}

// Seed is 32 secret bytes that a key is made from. It prints as one fixed word;
// slicing it gives the bytes.
type Seed [32]byte

const redacted = "vault(redacted)"

// String returns a fixed word, never the secret.
func (Seed) String() string { return redacted }

// GoString returns a fixed word, never the secret.
func (Seed) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (Seed) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the secret.
func (Seed) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed word as a JSON string, never the secret.
func (Seed) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// ChannelKey is a channel key as the state holds it.
type ChannelKey struct {
	Seed                Seed   // package sealed makes the key of it
	NotBefore, NotAfter uint64 // milliseconds since 1970-01-01 UTC
}

func (k *ChannelKey) layout(w *wire.Codec) {
	w.Bytes(k.Seed[:])
	w.U64(&k.NotBefore)
	w.U64(&k.NotAfter)
}

func (k *ChannelKey) check() error {
	if k.NotBefore > k.NotAfter || k.NotAfter > vaultapi.MaxTime {
		return fmt.Errorf("%w: channel key from %d to %d", ErrCommand, k.NotBefore, k.NotAfter)
	}
	return nil
}

// FleetView is a copy of what the state holds of the fleet, for the shell to open
// requests and sign bundles with. It never leaves the process. Not safe for
// concurrent use with Wipe.
type FleetView struct {
	ID           [32]byte
	IdentitySeed Seed
	Keys         []ChannelKey // in the order they were added, at most 8
	Policy       Policy
	// Serial and Changed (milliseconds) are the bundle's: with both from the state,
	// all replicas sign the same bytes under one serial.
	Serial, Changed uint64
	Time            uint64 // the vault's, milliseconds
}

// Wipe overwrites the secrets. It may be called twice.
func (v *FleetView) Wipe() {
	clear(v.IdentitySeed[:])
	clear(v.Keys)
}

// fleet is the state that is not of any account.
type fleet struct {
	FleetView
	naming Seed
}

// newFleet has room for all keys, so that adding one leaves no copy of the others.
func newFleet() *fleet { return &fleet{FleetView: FleetView{Keys: make([]ChannelKey, 0, maxKeys)}} }

func (f *fleet) layout(w *wire.Codec) {
	w.Constant(stateName)
	w.U64(&f.Time)
	w.Bytes(f.ID[:])
	w.Bytes(f.IdentitySeed[:])
	w.Bytes(f.naming[:])
	f.Policy.layout(w)
	w.U64(&f.Serial)
	w.U64(&f.Changed)
	wire.List(w, &f.Keys, maxKeys, func(k *ChannelKey) { k.layout(w) })
}

// check refuses what no sequence of commands leads to.
func (f *fleet) check() error {
	if f.ID != fleetID(&f.IdentitySeed) || f.Time < 1 || f.Time > maxTime || f.Changed > f.Time || f.expired(f.Time) {
		return errState
	}
	for i, k := range f.Keys {
		if k.check() != nil || slices.IndexFunc(f.Keys, k.same) != i {
			return errState
		}
	}
	return f.Policy.check(uint8(len(f.Policy.Waits) + 1)) // at most 11
}

func (k *ChannelKey) same(o ChannelKey) bool { return hmac.Equal(k.Seed[:], o.Seed[:]) }

// add adds a channel key. The same again is ok; a conflict is one that another
// validity is known for, that has expired, or that is one too many.
func (f *fleet) add(k *ChannelKey) vaultapi.Code {
	switch i := slices.IndexFunc(f.Keys, k.same); {
	case i >= 0 && f.Keys[i] == *k:
		return vaultapi.OK
	case i >= 0 || k.NotAfter <= f.Time || len(f.Keys) == maxKeys:
		return vaultapi.Conflict
	}
	f.Keys = append(f.Keys, *k)
	f.Serial, f.Changed = f.Serial+1, f.Time
	return vaultapi.OK
}

// restrict takes over a policy that is nowhere weaker. A record keeps its limit, and
// for it the waits past the new one; waits and cool-downs that began keep their end.
func (f *fleet) restrict(to *Policy) error {
	p := &f.Policy
	if to.MaxAttempts > p.MaxAttempts || to.CoolDown < p.CoolDown || to.Grace > p.Grace || to.Insecure != p.Insecure {
		return errWeaker
	}
	for i, w := range p.Waits {
		p.Waits[i] = max(w, to.wait(uint8(i+1)))
		if i < len(to.Waits) && to.Waits[i] < w {
			return errWeaker
		}
	}
	p.MaxAttempts, p.CoolDown, p.Grace = to.MaxAttempts, to.CoolDown, to.Grace
	f.Serial, f.Changed = f.Serial+1, f.Time
	return nil
}

// expired reports whether a channel key has expired at a time.
func (f *fleet) expired(now uint64) bool {
	return slices.ContainsFunc(f.Keys, func(k ChannelKey) bool { return k.NotAfter <= now })
}

// expire erases the channel keys that have expired (§11.6); DeleteFunc clears what
// it leaves over.
func (f *fleet) expire() {
	if f.expired(f.Time) {
		f.Keys = slices.DeleteFunc(f.Keys, func(k ChannelKey) bool { return k.NotAfter <= f.Time })
		f.Serial, f.Changed = f.Serial+1, f.Time
	}
}

// rid names the account inside the vault (§8).
func (f *fleet) rid(a vaultapi.Account) rid { return name(named{f.naming, a}) }

type named struct {
	naming  Seed
	account vaultapi.Account
}

var name = memo.Func(func(n named) rid {
	h := hmac.New(sha256.New, n.naming[:])
	h.Write(n.account[:])
	return rid(h.Sum(nil)[:16])
})

// fleetID is §7.
func fleetID(identity *Seed) [32]byte {
	key := ed25519.NewKeyFromSeed(identity[:])
	defer clear(key)
	public := key.Public().(ed25519.PublicKey)
	return sha256.Sum256(append([]byte("keepsake fleet id\x01"), public...))
}
