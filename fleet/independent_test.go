package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// A second reader of bundles, made from the table of spec/vault-protocol.md §7.1
// and the rules below it, and from nothing of the package. Whether a channel
// key is one is for package sealed to say.

// fields are a bundle's values by name, as vectors write them.
type fields map[string]string

// scan reads numbers and bytes off the front; short says that there were too few.
type scan struct {
	rest  []byte
	short bool
}

func (s *scan) take(n int) []byte {
	if len(s.rest) < n {
		s.short, s.rest = true, nil
		return make([]byte, n)
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *scan) number(size int) (n uint64) {
	for _, x := range s.take(size) {
		n = n<<8 | uint64(x)
	}
	return n
}

// refOpen reads a bundle of the fleet, or names the layer that refuses it.
func refOpen(data []byte, id []byte) (f fields, layer string) {
	f = fields{}
	s := &scan{rest: data}
	sound := len(data) <= 65536 && string(s.take(15)) == "keepsake bundle"
	version := s.number(1)
	sound = sound && (version == 1 || version == 2)
	serial, issued, identity := s.number(8), s.number(8), s.take(32)
	keysSound := f.keys(s)
	policySound := f.policy(s)
	if version == 2 {
		policySound = f.fleetKey(s) && policySound
	}
	content := data[:len(data)-len(s.rest)]
	signature := s.take(64)
	if !sound || s.short || len(s.rest) > 0 {
		return nil, "format"
	}
	if h := sha256.Sum256(append([]byte("keepsake fleet id\x01"), identity...)); !bytes.Equal(h[:], id) {
		return nil, "fleet"
	}
	if !ed25519.Verify(identity, append([]byte("keepsake bundle signature\x01"), content...), signature) {
		return nil, "signature"
	}
	if !keysSound || !policySound || serial == 0 || issued >= 1<<43 {
		return nil, "format"
	}
	digest := sha256.Sum256(content)
	f["serial"], f["issued"] = strconv.FormatUint(serial, 10), strconv.FormatUint(issued, 10)
	f["identity"], f["digest"] = hex.EncodeToString(identity), hex.EncodeToString(digest[:])
	return f, ""
}

func (f fields) keys(s *scan) bool {
	n := s.number(1)
	sound := n >= 1 && n <= 8
	var all, publics []string
	for range n {
		from, to, public := s.number(8), s.number(8), s.take(1216)
		if s.short {
			return false
		}
		_, err := sealed.ParsePublicKey(sealed.FleetID{}, public)
		sound = sound && from < to && to < 1<<43 && err == nil && !slices.Contains(publics, string(public))
		publics = append(publics, string(public))
		all = append(all, fmt.Sprintf("%d/%d/%x", from, to, sha256.Sum256(public)))
	}
	f["keys"] = strings.Join(all, ",")
	return sound
}

func (f fields) policy(s *scan) bool {
	least := []uint64{0, 0, 0, 30_000, 300_000, 1_800_000, 7_200_000, 28_800_000, 86_400_000}
	const most = 366 * 86_400_000
	m, n := s.number(1), s.number(1)
	sound, weak := m >= 1 && m <= 10 && n == m-1, false
	var all []string
	before := uint64(0)
	for i := range n {
		w := s.number(8)
		sound = sound && w >= before && w <= most
		weak = weak || i < 9 && w < least[i]
		before = w
		all = append(all, strconv.FormatUint(w, 10))
	}
	coolDown, grace, flags := s.number(8), s.number(8), s.number(1)
	weak = weak || coolDown < 604_800_000
	f["limit"], f["waits"] = strconv.FormatUint(m, 10), strings.Join(all, ",")
	f["cool-down"], f["grace"], f["insecure"] = strconv.FormatUint(coolDown, 10), strconv.FormatUint(grace, 10), strconv.FormatUint(flags, 10)
	return sound && coolDown <= most && grace <= most && flags <= 1 && (!weak || flags == 1)
}

// fleetKey: the curve's equation, and nothing of the package that computes on it.
func (f fields) fleetKey(s *scan) bool {
	sign, x := s.number(1), new(big.Int).SetBytes(s.take(32))
	f["fleet-key"] = fmt.Sprintf("%02x%064x", sign, x)
	p := elliptic.P256().Params()
	y2 := new(big.Int).Exp(x, big.NewInt(3), p.P)
	y2.Sub(y2, new(big.Int).Mul(big.NewInt(3), x)).Add(y2, p.B).Mod(y2, p.P)
	return (sign == 2 || sign == 3) && x.Cmp(p.P) < 0 && big.Jacobi(y2, p.P) == 1
}

// describe writes what the package opened in the same form.
func describe(b *fleet.Bundle) fields {
	var keys, waits []string
	for _, k := range b.Keys {
		enc := k.Key.Bytes()
		keys = append(keys, fmt.Sprintf("%d/%d/%x", k.NotBefore, k.NotAfter, sha256.Sum256(enc[:])))
	}
	for _, w := range b.Policy.Waits {
		waits = append(waits, fmt.Sprint(w))
	}
	digest, insecure := b.Digest(), "0"
	if b.Policy.Insecure {
		insecure = "1"
	}
	f := fields{
		"serial": fmt.Sprint(b.Serial), "issued": fmt.Sprint(b.Issued), "identity": hex.EncodeToString(b.Identity),
		"keys": strings.Join(keys, ","), "limit": fmt.Sprint(b.Policy.MaxAttempts), "waits": strings.Join(waits, ","),
		"cool-down": fmt.Sprint(b.Policy.CoolDown), "grace": fmt.Sprint(b.Policy.Grace), "insecure": insecure,
		"digest": hex.EncodeToString(digest[:]),
	}
	if b.Hardened() {
		f["fleet-key"] = hex.EncodeToString(b.FleetKey[:])
	}
	return f
}
