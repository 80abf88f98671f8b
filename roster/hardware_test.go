package roster_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepsake.example/roster"
)

// hardware is a machine whose sealing key is in its hardware.
func hardware(n uint64) roster.Member {
	m := machine(n)
	m.Sealing = append(m.Sealing, bytes.Repeat([]byte{byte(n)}, roster.DeviceSealingSize-roster.SealingSize)...)
	return m
}

func hardened(voters int) *roster.Roster {
	r := founded(voters)
	r.Hardening = [roster.PointSize]byte{0: 3, 32: 9}
	return r
}

// A roster that has nothing of version 2 has the bytes of version 1, before and
// after a machine with a key in hardware: a fleet of old programs reads it.
func TestFormIsTheLowest(t *testing.T) {
	r := founded(3)
	before := r.Encode()
	if r.Form() != 1 || !bytes.HasPrefix(before, []byte("keepsake roster\x01")) {
		t.Errorf("form %d, begins with %q", r.Form(), before[:16])
	}
	accept(t, r, roster.Add, func(c *roster.Change) { c.Member = hardware(4) })
	with := r.Encode()
	if r.Form() != 2 || !bytes.HasPrefix(with, []byte("keepsake roster\x02")) {
		t.Errorf("with a key in hardware: form %d, begins with %q", r.Form(), with[:16])
	}
	accept(t, r, roster.Remove, about(0, 4))
	if b := r.Encode(); r.Form() != 1 || b[15] != 1 {
		t.Errorf("without it again: form %d, begins with %q", r.Form(), b[:16])
	}
	if h := hardened(1); h.Form() != 2 || h.Encode()[15] != 2 || !h.Hardened() || founded(1).Hardened() {
		t.Errorf("with a fleet key: form %d", h.Form())
	}
}

func TestHardwareRosterRoundTrip(t *testing.T) {
	all := hardened(3)
	accept(t, all, roster.Add, func(c *roster.Change) { c.Member = hardware(4) })
	only := founded(2)
	only.Members[1] = hardware(2)
	for _, r := range []*roster.Roster{hardened(2), only, all} {
		b := r.Encode()
		got, err := roster.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got, cmpopts.EquateEmpty()); diff != "" || !bytes.Equal(got.Clone().Encode(), b) {
			t.Errorf("%v (-want +got):\n%s", r, diff)
		}
	}
}

// No change touches the fleet key: it is as founded.
func TestHardeningIsFixed(t *testing.T) {
	r := hardened(5)
	want := r.Hardening
	for _, make := range everyChange() {
		must(r.Apply(signed(make(r), "alice", "carol", "eve")))
		if r.Hardening != want {
			t.Fatal("a change of the fleet key")
		}
	}
}

// What is written in form 2 and has nothing of it is another form of the same roster,
// and what has something of it is in no other.
func TestOneFormEach(t *testing.T) {
	short := founded(1)
	short.Members[0].Sealing = short.Members[0].Sealing[:1215]
	between := hardened(1)
	between.Members[0].Sealing = append(between.Members[0].Sealing, 1)
	packed := hardened(1)
	packed.Hardening[0] = 4
	one, two := founded(1).Encode(), hardened(1).Encode()
	bare := bytes.Clone(two)
	clear(bare[48:81])
	for name, b := range map[string][]byte{
		"form 1 as 2": append([]byte("keepsake roster\x02"), one[16:]...), "form 2 as 1": append([]byte("keepsake roster\x01"), two[16:]...),
		"form 3": append([]byte("keepsake roster\x03"), two[16:]...), "form 0": append([]byte("keepsake roster\x00"), one[16:]...),
		"form 2 for nothing": bare, "a short key": short.Encode(), "a key of another size": between.Encode(), "another point": packed.Encode(),
	} {
		if r, err := roster.Decode(b); !errors.Is(err, roster.ErrRoster) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

func TestMangledHardwareRoster(t *testing.T) {
	r := hardened(1)
	accept(t, r, roster.Add, func(c *roster.Change) { c.Member = hardware(2) })
	b := r.Encode()
	for n := range b {
		if _, err := roster.Decode(b[:n]); !errors.Is(err, roster.ErrRoster) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
		for _, x := range []byte{b[n] ^ 1, b[n] ^ 0x80, 0xff} {
			m := bytes.Clone(b)
			m[n] = x
			canonicalRoster(t, m)
		}
	}
}

// A machine with a key in hardware is added by a text of a new title, which no old
// program takes for a change that it may refuse.
func TestHardwareText(t *testing.T) {
	r := founded(3)
	c := next(r, roster.Add, func(c *roster.Change) { c.Member = hardware(4) })
	text := must(c.Text())
	lines := strings.Split(text, "\n")
	if lines[0] != "keepsake fleet change v2" || strings.Count(text, "\nsealing ") != 33 || len(text) > roster.MaxText {
		t.Errorf("%d bytes:\n%s", len(text), text)
	}
	if diff := cmp.Diff(c, must(roster.ParseChange(text)), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read as (-want +got):\n%s", diff)
	}
	for n := range text {
		canonical(t, text[:n])
		m := []byte(text)
		m[n] ^= 1
		canonical(t, string(m))
	}
	old := must(next(r, roster.Add, newcomer(4)).Text())
	remove := must(next(r, roster.Remove, about(0, 2)).Text())
	group := must(next(r, roster.Add, about(1, 2)).Text())
	for name, text := range map[string]string{
		"a key in hardware in v1": strings.Replace(text, "v2", "v1", 1), "a key in software in v2": strings.Replace(old, "v1", "v2", 1),
		"a removal in v2": strings.Replace(remove, "v1", "v2", 1), "another group in v2": strings.Replace(group, "v1", "v2", 1),
		"a line less": strings.Join(append(lines[:len(lines)-2:len(lines)-2], ""), "\n"), "a line more": text + lines[len(lines)-2] + "\n",
	} {
		if c, err := roster.ParseChange(text); !errors.Is(err, roster.ErrText) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// Which version introduced a change is told by its first bytes, and never said to be
// an older one than reads it: who proposes it goes by that.
func TestVersion(t *testing.T) {
	r := founded(3)
	one := signed(next(r, roster.Remove, about(0, 2)), "alice").Encode()
	two := signed(next(r, roster.Add, func(c *roster.Change) { c.Member = hardware(4) }), "alice").Encode()
	titled := func(s string) []byte { return bytes.Replace(one, []byte("change v1"), []byte(s), 1) }
	for name, tt := range map[string]struct {
		signed []byte
		want   uint32
	}{
		"nothing": {nil, 1}, "version 1": {one, 1}, "version 2": {two, 2}, "another text": {titled("ch4nge v1"), 1},
		"version 3": {titled("change v3"), 0}, "version 10": {titled("change v10"), 0}, "version 20": {titled("change v20"), 0}, "version x": {titled("change vx"), 0},
		"another form": {append([]byte{2}, one[1:]...), 0},
	} {
		if got := roster.Version(tt.signed); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	for n := range one {
		if got := roster.Version(one[:n]); got != 1 {
			t.Errorf("%d bytes of version 1: %d", n, got)
		}
	}
	family := 3 + len("keepsake fleet change v")
	for n := range two {
		if got, cut := roster.Version(two[:n]), n <= family; got != 2 && !cut || got != 1 && cut {
			t.Errorf("%d bytes of version 2: %d", n, got)
		}
	}
}
