package backup

import (
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/zeebo/blake3"
)

// What keyed digests are made of, spec §1. Each has a key of its own, so that one can never stand for another.
const (
	chunkPurpose = "keepsake/v1 chunk id"
	cutPurpose   = "keepsake/v1 manifest cut"
	statePurpose = "keepsake/v1 file state"
	turnPurpose  = "keepsake/v1 verify turn"
)

// A digester computes keyed digests of one purpose. Not safe for concurrent use: one a goroutine.
type digester struct {
	h   *blake3.Hasher
	sum [32]byte
}

func newDigester(g *ring) *digester { return g.digester(chunkPurpose) }

func (g *ring) digester(purpose string) *digester {
	k, err := hkdf.Expand(sha256.New, g.idKey[:], purpose, 32)
	if err != nil {
		panic("backup: internal error: " + err.Error())
	}
	defer clear(k)
	h, err := blake3.NewKeyed(k)
	if err != nil {
		panic("backup: internal error: " + err.Error())
	}
	return &digester{h: h}
}

// id is the first 16 bytes of keyed BLAKE3.
func (d *digester) id(b []byte) ID {
	d.h.Reset()
	d.h.Write(b)
	return ID(d.h.Sum(d.sum[:0])[:16])
}
