package ledger_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/vectors"
)

// sample is the slot of vectors/ledger/two-groups.txt.
func sample() []byte {
	return must(ledger.Seal(41, keyOf(0xe0), [32]byte(bytes.Repeat([]byte{0x5a}, 32)), []ledger.Line{
		{Group: 0, State: anchor.State{Counter: 7, Head: [32]byte(bytes.Repeat([]byte{0x6a}, 32))}, Key: keyOf(0xa0)},
		{Group: 3, State: anchor.State{Counter: 1 << 40, Head: [32]byte(bytes.Repeat([]byte{0x6b}, 32))}, Key: keyOf(0xa3)},
	}))
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func octets(t *testing.T, v *vectors.Vector, name string) (b [32]byte) {
	t.Helper()
	copy(b[:], must(hex.DecodeString(field(t, v, name))))
	return b
}

// TestVectors runs vectors/ledger, whose names are listed in spec/replication.md §3.3.
func TestVectors(t *testing.T) {
	ran := map[string]int{}
	for _, v := range must(vectors.All("ledger")) {
		t.Run(v.Path, func(t *testing.T) {
			key := anchor.KeyFromBytes(octets(t, v, "key"))
			groups, err := ledger.Unseal(v.Body, key)
			expect := field(t, v, "expect")
			ran[expect]++
			if expect == "refused" {
				if !errors.Is(err, ledger.ErrSlot) {
					t.Errorf("got %v", err)
				}
				return
			}
			check(t, err)
			var want []ledger.Line
			for i := range must(strconv.Atoi(field(t, v, "groups"))) {
				n := strconv.Itoa(i)
				want = append(want, ledger.Line{
					Group: uint32(must(strconv.ParseUint(field(t, v, "group-"+n), 10, 32))),
					State: anchor.State{Counter: must(strconv.ParseUint(field(t, v, "counter-"+n), 10, 64)), Head: octets(t, v, "head-"+n)},
					Key:   anchor.KeyFromBytes(octets(t, v, "key-"+n)),
				})
			}
			sealed := must(ledger.Seal(must(strconv.ParseUint(field(t, v, "count"), 10, 64)), key, octets(t, v, "salt"), want))
			if len(groups) != len(want) || !bytes.Equal(sealed, v.Body) {
				t.Errorf("%d groups, written again as %x", len(groups), sealed)
			}
			if head := must(ledger.Head(v.Body)); head != octets(t, v, "head") {
				t.Errorf("head %x", head)
			}
		})
	}
	if ran["opened"] < 2 || ran["refused"] < 5 {
		t.Errorf("ran %v", ran)
	}
}

// Every change of a slot and every shorter one is refused.
func TestSlotMangled(t *testing.T) {
	slot, key := sample(), keyOf(0xe0)
	head := must(ledger.Head(slot))
	for n := range slot {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(slot)
			bad[n] ^= bit
			if _, err := ledger.Unseal(bad, key); !errors.Is(err, ledger.ErrSlot) {
				t.Fatalf("byte %d changed: %v", n, err)
			}
			if other, err := ledger.Head(bad); err == nil && other == head {
				t.Fatalf("byte %d changed, and the head is the same", n)
			}
		}
		if _, err := ledger.Unseal(slot[:n], key); !errors.Is(err, ledger.ErrSlot) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	long := append(bytes.Clone(slot), "of a longer slot before"...)
	if groups, err := ledger.Unseal(long, key); err != nil || len(groups) != 2 || must(ledger.Head(long)) != head {
		t.Errorf("what follows a slot matters: %v", err)
	}
	if _, err := ledger.Unseal(slot, keyOf(0xe1)); !errors.Is(err, ledger.ErrSlot) {
		t.Errorf("opened with another key: %v", err)
	}
}

// The plaintext is read in one form.
func FuzzLines(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add(append([]byte{0, 1}, make([]byte, 76)...))
	two := append([]byte{0, 2}, make([]byte, 152)...)
	two[2+76+3] = 1
	f.Add(two)
	f.Fuzz(func(t *testing.T, plain []byte) {
		if again, err := ledger.Recode(plain); err == nil && !bytes.Equal(again, plain) {
			t.Errorf("%x is written as %x", plain, again)
		}
	})
}

// Whatever the disk holds: a slot that opens is written again to the same bytes.
func FuzzSlot(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := ledger.Head(b)
		groups, bad := ledger.Unseal(b, keyOf(0xe0))
		if bad == nil && (err != nil || len(groups) > ledger.MaxGroups) {
			t.Errorf("opened, and has no head: %x", head)
		}
	})
}
