package backup

import (
	"context"
	"fmt"
	"slices"

	"keepsake.example/cloud"
	"keepsake.example/key"
)

// Without a key ring nothing opens, with K or without. So each is stored twice, spec §4: the spare is the same ring under the same K, sealed apart, with an id that
// whoever has the ring can tell and that never comes before its own.

const sparePurpose = "keepsake/v1 spare ring"

// newRingID is the id of a ring that has a spare: its first bit is 1, and that of a spare 0.
func newRingID() ID {
	id := newID()
	id[0] |= 0x80
	return id
}

// spareOf is the id of the spare of the ring with this id.
func (g *ring) spareOf(id ID) ID {
	spare := g.digester(sparePurpose).id(id[:])
	spare[0] &= 0x7f
	return spare
}

// spareName is the name of a ring's spare; of a spare's it is one that no object has.
func (g *ring) spareName() string { return objectName(kindRing, g.spareOf(g.id)) }

// put stores a ring under K.
func (g *ring) put(ctx context.Context, store cloud.Store, k *key.Key) error {
	if err := putBytes(ctx, store, g.name(), g.seal(k)); err != nil {
		return fmt.Errorf("storing the key ring: %w", err)
	}
	return nil
}

// putSpare stores a ring's spare under K.
func (g *ring) putSpare(ctx context.Context, store cloud.Store, k *key.Key) error {
	spare := *g
	spare.id = g.spareOf(g.id)
	if err := putBytes(ctx, store, spare.name(), spare.seal(k)); err != nil {
		return fmt.Errorf("storing the spare key ring: %w", err)
	}
	return nil
}

// withoutSpare leaves a ring's spare out of names of rings.
func (g *ring) withoutSpare(names []string) []string {
	spare := g.spareName()
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == spare })
}

// others are the names of rings that are neither this one nor its spare.
func (g *ring) others(names []string) []string {
	return slices.DeleteFunc(g.withoutSpare(names), func(name string) bool { return name == g.name() })
}

// spare looks at the spare of the key ring, which nothing else does as long as the ring is whole. That there is none is no damage: a rotation that was cut short
// leaves none, and a ring that is one has none.
func (v *verifier) spare() error {
	name := v.r.ring.spareName()
	object, err := getRing(v.ctx, v.r.store, name)
	if isMissing(err) {
		v.res.NoSpare = true
		return nil
	}
	if err == nil {
		_, err = checkRing(name, object)
	}
	if err != nil {
		return v.add(err)
	}
	return nil
}
