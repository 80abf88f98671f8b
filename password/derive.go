package password

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"

	"golang.org/x/crypto/argon2"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// Domain labels, spec/vault-protocol.md §9.1. What follows each has a fixed length.
const (
	labelSalt     = "keepsake password salt"
	labelVaultSet = "keepsake vault set"
	labelEnvelope = "keepsake envelope"

	version = 1 // of what the labels stand for
)

// Params are the costs of Argon2id (RFC 9106, version 0x13).
type Params struct {
	MemoryKiB, Passes uint32
	Threads           uint8
}

// DefaultParams are what new records get: 64 MiB, 3 passes, 4 threads, the second
// recommended option of RFC 9106 §4.
var DefaultParams = Params{64 << 10, 3, 4}

// The floor is OWASP's minimum; a hostile vault would go lower, so that guessing
// is cheap. Over the ceiling it would stop the device.
var (
	Floor   = Params{19 << 10, 2, 1}
	Ceiling = Params{1 << 20, 16, 64}
)

// Check refuses parameters under [Floor] or over [Ceiling], and memory under
// 8 KiB for each thread (RFC 9106 §3.1). The error is [ErrParams].
func (p Params) Check() error {
	switch {
	case p.MemoryKiB < Floor.MemoryKiB || p.Passes < Floor.Passes || p.Threads < Floor.Threads:
		return fmt.Errorf("%w: under the floor", ErrParams)
	case p.MemoryKiB > Ceiling.MemoryKiB || p.Passes > Ceiling.Passes || p.Threads > Ceiling.Threads:
		return fmt.Errorf("%w: over the ceiling", ErrParams)
	}
	return nil
}

// Place is where a record lies: whose it is, in which fleet.
type Place struct {
	Fleet   sealed.FleetID
	Account vaultapi.Account
	// FleetKey is the one of the fleet's bundle; zeros if that has none. It decides
	// what a client asks and registers: suite 2 exactly where there is one.
	FleetKey [p256.PointSize]byte
}

func (at Place) hardened() bool { return at.FleetKey != [p256.PointSize]byte{} }

// vaultSet names the set of fleets that share a key, and how many of them it takes.
func vaultSet(t uint8, vaults []Vault) [32]byte {
	b := append([]byte(labelVaultSet), version, t, uint8(len(vaults))) // at most MaxVaults
	for _, v := range vaults {
		b = append(b, v.Fleet[:]...)
	}
	return sha256.Sum256(b)
}

// salt binds the account in: one guess, stretched once, serves against no second
// account, not even for somebody who has the vault's keys.
func salt(account vaultapi.Account, set [32]byte) [16]byte {
	h := sha256.Sum256(slices.Concat([]byte(labelSalt), []byte{version}, account[:], set[:]))
	return [16]byte(h[:])
}

// keys are what the password opens the record with.
type keys struct {
	pad, mac, unlock [32]byte
}

func (k *keys) wipe() { *k = keys{} }

// derive has the keys of vault 1 from the outputs of the oblivious functions: steps 3
// and 4 of §9.1. y2 is used, and needed, for an envelope of suite 2 (§9.5).
func derive(y1 *oprf.Output, y2 *[p256.OutputSize]byte, e *Envelope, account vaultapi.Account, record vaultapi.ID) (*keys, error) {
	s := salt(account, vaultSet(e.T, e.Vaults))
	var rwd []byte
	var err error
	y1.Use(func(y *[oprf.OutputSize]byte) {
		if e.hardened() {
			if y, err = mix(y, y2, Place{Account: account, FleetKey: e.FleetKey}); err != nil {
				return
			}
			defer clear(y[:])
		}
		rwd = argon2.IDKey(y[:], s[:], e.Params.Passes, e.Params.MemoryKiB, e.Params.Threads, 32)
	})
	if err != nil {
		return nil, err
	}
	defer clear(rwd)
	return expand(rwd, e.header(), account, record, 1)
}

func expand(rwd, header []byte, account vaultapi.Account, record vaultapi.ID, index uint8) (*keys, error) {
	prk, err := hkdf.Extract(sha256.New, rwd, append([]byte(labelEnvelope), version))
	if err != nil {
		return nil, fmt.Errorf("password: deriving the keys: %w", err)
	}
	defer clear(prk)
	context := sha256.Sum256(slices.Concat(header, account[:], record[:]))
	k := &keys{}
	for _, part := range []struct {
		info string
		to   *[32]byte
	}{
		{"pad", &k.pad}, {"mac", &k.mac}, {"unlock" + string([]byte{index}), &k.unlock},
	} {
		b, err := hkdf.Expand(sha256.New, prk, part.info+string(context[:]), len(part.to))
		if err != nil {
			k.wipe()
			return nil, fmt.Errorf("password: deriving the keys: %w", err)
		}
		copy(part.to[:], b)
		clear(b)
	}
	return k, nil
}
