//go:build nextversion

package machine_test

import (
	"bytes"
	"errors"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/vaultd/machine"
)

// The mark is of version 3, for whoever reads it. Its picture is, too, and only from
// the first mark on.
func TestMark(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	old := func() *machine.Machine { return machine.NewAs(2, 0, nil) }
	aged := old()
	if err := aged.Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Errorf("a state without a mark, read by version 2: %v", err)
	}
	if m.Needs(machine.Mark(), false) != 3 || aged.Needs(machine.Mark(), false) != replica.Unknown {
		t.Error("which version a mark needs")
	}
	if _, err := aged.Apply(machine.Mark(), true); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 2 applies a mark: %v", err)
	}
	for n := range uint32(3) {
		if e, err := m.Apply(machine.Mark(), true); err != nil || e != n+1 {
			t.Errorf("%v, %v", e, err)
		}
	}
	other := machine.New(0, nil)
	if err := other.Restore(bytes.NewReader(picture(t, m))); err != nil || other.Marks() != 3 || !bytes.Equal(picture(t, m), picture(t, other)) {
		t.Errorf("%d marks restored, %v", other.Marks(), err)
	}
	if err := old().Restore(bytes.NewReader(picture(t, m))); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 2 reads a picture with marks: %v", err)
	}
}
