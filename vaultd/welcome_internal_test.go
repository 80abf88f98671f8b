package vaultd

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/roster"
	"keepsake.example/sealed"
)

// welcomeKit is a fleet of one and a machine that is to join it.
func welcomeKit(t testing.TB) (ed25519.PrivateKey, *roster.Roster, *Keys, []byte) {
	t.Helper()
	identity := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	both := [64]byte{9}
	k, err := newKeys(&both)
	if err != nil {
		t.Fatal(err)
	}
	first := k.Card("one", "dc", "one:1").Member(1)
	first.Learner = false
	p := fleet.DefaultPolicy()
	r := &roster.Roster{
		Fleet: fleet.ID(identity.Public().(ed25519.PublicKey)), Groups: 1, Operators: []roster.Operator{{Name: "a", Key: [32]byte(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)).Public().(ed25519.PublicKey))}}, Quorum: 1,
		Policy: roster.Policy(p), Members: []roster.Member{first}, Highest: 1,
	}
	w, err := newWelcome(r, 0, first, [32]byte{5}, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return identity, r, k, w.sign(identity)
}

// A welcome is for one machine, one group and one fleet, and nobody but the fleet makes one.
func TestWelcome(t *testing.T) {
	identity, r, k, signed := welcomeKit(t)
	pinned, q := sealed.FleetID(r.Fleet), &question{0, 1, [32]byte{5}}
	secret, got, err := openWelcome(signed, pinned, q, k)
	if err != nil || *secret != [32]byte(bytes.Repeat([]byte{7}, 32)) || !bytes.Equal(got.Encode(), r.Encode()) {
		t.Fatalf("%v, %v", secret, err)
	}
	other, err := NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() error{
		"of another group":    func() error { _, _, err := openWelcome(signed, pinned, &question{1, 1, q.nonce}, k); return err },
		"for another member":  func() error { _, _, err := openWelcome(signed, pinned, &question{0, 2, q.nonce}, k); return err },
		"for another machine": func() error { _, _, err := openWelcome(signed, pinned, q, other); return err },
		"of another run":      func() error { _, _, err := openWelcome(signed, pinned, &question{0, 1, [32]byte{6}}, k); return err },
		"of another fleet":    func() error { _, _, err := openWelcome(signed, sealed.FleetID{1}, q, k); return err },
		"signed as a roster": func() error {
			_, err := OpenRoster(signed, pinned)
			return err
		},
		"a roster": func() error { _, _, err := openWelcome(signRoster(identity, r), pinned, q, k); return err },
	} {
		if open() == nil {
			t.Errorf("opened a welcome %s", name)
		}
	}
	for n := range signed {
		if _, _, err := openWelcome(signed[:n], pinned, q, k); err == nil {
			t.Fatalf("opened %d of %d bytes", n, len(signed))
		}
		signed[n] ^= 1
		if _, _, err := openWelcome(signed, pinned, q, k); err == nil {
			t.Fatalf("opened with byte %d changed", n)
		}
		signed[n] ^= 1
	}
}

// Whatever is inside the signature, reading it does not panic, and gives no secret but the one that was sealed.
func FuzzWelcome(f *testing.F) {
	identity, r, k, signed := welcomeKit(f)
	f.Add(signed[signedHead:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		pinned, q := sealed.FleetID(r.Fleet), &question{0, 1, [32]byte{5}}
		secret, _, err := openWelcome(signAs(welcomeLabel, identity, content), pinned, q, k)
		if err == nil && *secret != [32]byte(bytes.Repeat([]byte{7}, 32)) {
			t.Errorf("opened another secret: %x", *secret)
		}
		OpenRoster(signAs(rosterLabel, identity, content), pinned)
	})
}

// What is paced for a member of a group is not for another, nor for the same one in another group.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		ask := func() (may []bool) {
			return []bool{p.may(0, 1, time.Second), p.may(0, 1, time.Second), p.may(1, 1, time.Second), p.may(0, 2, time.Second)}
		}
		for range 2 {
			if may := ask(); !slices.Equal(may, []bool{true, false, true, true}) {
				t.Errorf("may: %v", may)
			}
			time.Sleep(time.Second)
		}
	})
}
