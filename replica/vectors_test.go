package replica_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/replica, whose names are listed in spec/replication.md §8.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector) error{
		"record": vectorRecord, "checkpoint": vectorCheckpoint,
		"peer-message": vectorMessage, "sealed-message": vectorSealed, "hello": vectorHello,
	}
	ran := map[string]int{}
	for _, v := range must(vectors.All("replica")) {
		t.Run(v.Path, func(t *testing.T) {
			kind, expect := field(t, v, "type"), field(t, v, "expect")
			ran[kind+" "+expect]++
			err := run[kind](t, v)
			switch expect {
			case "opened":
				check(t, err)
			case "refused":
				if want := replica.Layers[field(t, v, "layer")]; want == nil || !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			default:
				t.Errorf("unknown outcome %q", expect)
			}
		})
	}
	if len(ran) != 2*len(run) {
		t.Errorf("ran %v, want all types with two outcomes", ran)
	}
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func number(t *testing.T, v *vectors.Vector, name string) uint64 {
	t.Helper()
	return must(strconv.ParseUint(field(t, v, name), 10, 64))
}

func octets(t *testing.T, v *vectors.Vector, name string) (b [32]byte) {
	t.Helper()
	copy(b[:], must(hex.DecodeString(field(t, v, name))))
	return b
}

func vectorRecord(t *testing.T, v *vectors.Vector) error {
	key, prev, n := octets(t, v, "key"), octets(t, v, "previous"), number(t, v, "number")
	batch, head, err := replica.OpenRecord(key, n-1, prev, v.Body)
	ref, refHead, refErr := refRecord(key[:], n-1, prev[:], v.Body)
	term, vote, commit, entries, batchErr := refEntries(ref)
	if (err == nil) != (refErr == nil && batchErr == nil) {
		t.Errorf("package: %v; reference: %v, %v", err, refErr, batchErr)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(batch, ref) || !bytes.Equal(head[:], refHead) || head != octets(t, v, "head") {
		t.Errorf("another batch or head: %x, %x", batch, head)
	}
	got := fmt.Sprint(term, vote, commit, entries)
	if want := fmt.Sprint(number(t, v, "term"), number(t, v, "vote"), number(t, v, "commit"), field(t, v, "entries")); got != want {
		t.Errorf("holds %s, want %s", got, want)
	}
	return nil
}

func vectorCheckpoint(t *testing.T, v *vectors.Vector) error {
	key := octets(t, v, "key")
	inside, n, head, err := replica.OpenCheckpoint(key, v.Body)
	ref, refN, refHead, refErr := refCheckpoint(key[:], v.Body)
	if (err == nil) != (refErr == nil) && !errors.Is(err, replica.Layers["picture"]) {
		t.Errorf("package: %v; reference: %v", err, refErr)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(inside, ref) || n != refN || !bytes.Equal(head[:], refHead) {
		t.Error("package and reference disagree")
	}
	if n != number(t, v, "number") || head != octets(t, v, "head") {
		t.Errorf("at %d with head %x", n, head)
	}
	if got, want := refHash(inside), octets(t, v, "inside-digest"); !bytes.Equal(got, want[:]) {
		t.Errorf("inside is another: %x", got)
	}
	return nil
}
