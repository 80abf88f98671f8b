package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"keepsake.example/sealed"
)

// message is n bytes without a zero.
func message(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%255) + 1
	}
	return b
}

func TestExchange(t *testing.T) {
	k := must(sealed.GenerateKey(testFleet))
	for _, n := range []int{0, 1, 100, sealed.MaxRequest - 1, sealed.MaxRequest} {
		x := begin(t, k, message(n))
		m := message(min(n, sealed.MaxAnswer))
		got, err := x.pending.Open(must(x.answerer.Seal(m)))
		if err != nil || !bytes.Equal(got, m) {
			t.Errorf("answer of %d bytes: %d bytes, %v", len(m), len(got), err)
		}
	}
}

// Whatever is said, the relay sees blocks of the two sizes of the specification.
func TestFixedSizes(t *testing.T) {
	if sealed.RequestSize != 8192 || sealed.AnswerSize != 4096 || sealed.MaxRequest != 7037 || sealed.MaxAnswer != 4046 {
		t.Error("a size changed")
	}
	k := keyOf(1)
	for n := 0; n <= sealed.MaxRequest; n += 391 {
		x := begin(t, k, message(n))
		answer := must(x.answerer.Seal(message(min(n, sealed.MaxAnswer))))
		if len(x.request) != sealed.RequestSize || len(answer) != sealed.AnswerSize {
			t.Errorf("message of %d bytes: request of %d, answer of %d", n, len(x.request), len(answer))
		}
	}
}

func TestTooLong(t *testing.T) {
	k := keyOf(1)
	for _, n := range []int{sealed.MaxRequest + 1, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		if request, pending, err := k.Public().Seal(message(n)); request != nil || pending != nil || !errors.Is(err, sealed.ErrTooLong) {
			t.Errorf("request of %d bytes: %v", n, err)
		}
	}
	x := begin(t, k, nil)
	for _, n := range []int{sealed.MaxAnswer + 1, 1 << 16} {
		if answer, err := x.answerer.Seal(message(n)); answer != nil || !errors.Is(err, sealed.ErrTooLong) {
			t.Errorf("answer of %d bytes: %v", n, err)
		}
	}
}

// Nothing but version and key id is the same in two requests or two answers.
func TestNothingRepeats(t *testing.T) {
	k := keyOf(1)
	a, b := begin(t, k, []byte("same")), begin(t, k, []byte("same"))
	const header = 1 + sealed.KeyIDSize
	if !bytes.Equal(a.request[:header], b.request[:header]) {
		t.Error("the header differs")
	}
	blocks := [][]byte{a.request[header:], b.request[header:], must(a.answerer.Seal(nil)), must(a.answerer.Seal(nil))}
	seen := map[string]bool{}
	for _, block := range blocks {
		for ; len(block) >= 16; block = block[16:] {
			if seen[string(block[:16])] {
				t.Fatal("16 bytes repeat")
			}
			seen[string(block[:16])] = true
		}
	}
}

// An answer opens for the request it was made for, and no other: not one with
// the same message, not one to another key.
func TestAnswerOfAnotherRequest(t *testing.T) {
	k := keyOf(1)
	a, b, other := begin(t, k, []byte("same")), begin(t, k, []byte("same")), begin(t, keyOf(2), []byte("same"))
	answer := must(a.answerer.Seal([]byte("yes")))
	for _, x := range []exchange{b, other} {
		if m, err := x.pending.Open(answer); m != nil || !errors.Is(err, sealed.ErrOpen) {
			t.Errorf("opened: %q, %v", m, err)
		}
	}
}

// A request that the relay delivers twice is opened twice and answered twice,
// and the client can open either answer. (That it does no harm is the business
// of what is inside.)
func TestReplayedRequest(t *testing.T) {
	k := keyOf(1)
	x := begin(t, k, []byte("attempt"))
	_, again, err := k.Open(x.request)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*sealed.Answerer{x.answerer, again} {
		if m, err := x.pending.Open(must(a.Seal([]byte("yes")))); err != nil || string(m) != "yes" {
			t.Errorf("answer: %q, %v", m, err)
		}
	}
}

// A request to a key that the vault no longer holds, or to the same key of
// another fleet, is told from one that was changed on the way.
func TestOtherKey(t *testing.T) {
	k := keyOf(1)
	x := begin(t, k, []byte("status"))
	seed := seedOf(k)
	for name, other := range map[string]*sealed.PrivateKey{"key": keyOf(2), "fleet": must(sealed.ParsePrivateKey(sealed.FleetID{9}, seed[:]))} {
		if m, a, err := other.Open(x.request); m != nil || a != nil || !errors.Is(err, sealed.ErrKey) {
			t.Errorf("another %s: %q, %v", name, m, err)
		}
		// The relay can write any id: then the request does not open.
		forged := bytes.Clone(x.request)
		id := other.Public().ID()
		copy(forged[1:], id[:])
		if m, _, err := other.Open(forged); m != nil || !errors.Is(err, sealed.ErrOpen) {
			t.Errorf("another %s, its id written in: %q, %v", name, m, err)
		}
	}
}

func TestKeys(t *testing.T) {
	a, b := must(sealed.GenerateKey(testFleet)), must(sealed.GenerateKey(testFleet))
	seed, public := seedOf(a), a.Public().Bytes()
	again := must(sealed.ParsePrivateKey(testFleet, seed[:]))
	if !a.Equal(again) || a.Public().ID() != again.Public().ID() || seedOf(again) != seed {
		t.Error("another key from the same seed")
	}
	parsed := must(sealed.ParsePublicKey(testFleet, public[:]))
	if parsed.Bytes() != public || parsed.ID() != a.Public().ID() {
		t.Error("another public key")
	}
	elsewhere := must(sealed.ParsePrivateKey(sealed.FleetID{9}, seed[:]))
	if a.Equal(b) || a.Equal(elsewhere) || a.Equal(nil) || a.Equal(&sealed.PrivateKey{}) || (&sealed.PrivateKey{}).Equal(&sealed.PrivateKey{}) {
		t.Error("equal to another key or to none")
	}
	if elsewhere.Public().ID() == a.Public().ID() || b.Public().ID() == a.Public().ID() {
		t.Error("one id for two keys")
	}
}

func TestKeyLengths(t *testing.T) {
	public := keyOf(1).Public().Bytes()
	for n := range len(public) + 2 {
		b := append(bytes.Clone(public[:]), 0, 0)[:n]
		if _, err := sealed.ParsePublicKey(testFleet, b); n != len(public) && !errors.Is(err, sealed.ErrPublicKey) {
			t.Errorf("public key of %d bytes: %v", n, err)
		}
	}
	for n := range 40 {
		if _, err := sealed.ParsePrivateKey(testFleet, make([]byte, n)); n != sealed.PrivateKeySize && !errors.Is(err, sealed.ErrPrivateKey) {
			t.Errorf("private key of %d bytes: %v", n, err)
		}
	}
}

// A changed public key is refused or is another key: its requests do not open.
func TestMangledPublicKey(t *testing.T) {
	k := keyOf(1)
	public := k.Public().Bytes()
	refused := 0
	for n := range public {
		b := public
		b[n] ^= 1 << (n % 8)
		p, err := sealed.ParsePublicKey(testFleet, b[:])
		if err != nil {
			refused++
			continue
		}
		if p.ID() == k.Public().ID() || p.Bytes() != b {
			t.Errorf("byte %d changed and it is the same key", n)
		}
	}
	if refused == len(public) {
		t.Error("everything was refused")
	}
}

// An X25519 key of small order would make that half of the KEM's secret known.
func TestLowOrderPublicKey(t *testing.T) {
	b := keyOf(1).Public().Bytes()
	clear(b[sealed.PublicKeySize-32:])
	p := must(sealed.ParsePublicKey(testFleet, b[:]))
	if request, pending, err := p.Seal([]byte("x")); err == nil || request != nil || pending != nil {
		t.Error("sealed to it")
	}
}

// Every truncation, and a change of every byte, is refused: in the header and
// the X25519 share every bit, elsewhere one bit a byte, since an opening is slow.
func TestMangledRequest(t *testing.T) {
	k := keyOf(1)
	request := begin(t, k, []byte("status")).request
	for n := range request {
		if m, _, err := k.Open(request[:n]); m != nil || !errors.Is(err, sealed.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	const header, share, end = 17, 17 + 1088, 17 + 1120
	for n := range request {
		bits := []int{n % 8}
		if n < header || n >= share && n < end {
			bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		want := sealed.ErrOpen
		switch {
		case n == 0:
			want = sealed.ErrFormat
		case n < header:
			want = sealed.ErrKey
		}
		for _, bit := range bits {
			b := bytes.Clone(request)
			b[n] ^= 1 << bit
			if m, a, err := k.Open(b); m != nil || a != nil || !errors.Is(err, want) {
				t.Fatalf("bit %d of byte %d changed: %v, want %v", bit, n, err, want)
			}
		}
	}
}

// Every truncation and every changed bit is refused.
func TestMangledAnswer(t *testing.T) {
	x := begin(t, keyOf(1), nil)
	answer := must(x.answerer.Seal([]byte("none")))
	for n := range answer {
		if m, err := x.pending.Open(answer[:n]); m != nil || !errors.Is(err, sealed.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		for bit := range 8 {
			answer[n] ^= 1 << bit
			if m, err := x.pending.Open(answer); m != nil || !errors.Is(err, sealed.ErrOpen) {
				t.Fatalf("bit %d of byte %d changed: %v", bit, n, err)
			}
			answer[n] ^= 1 << bit
		}
	}
	if m, err := x.pending.Open(append(answer, 0)); m != nil || !errors.Is(err, sealed.ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestRequestKey(t *testing.T) {
	k := keyOf(1)
	request := begin(t, k, nil).request
	if id, err := sealed.RequestKey(request); err != nil || id != k.Public().ID() {
		t.Errorf("RequestKey = %x, %v", id, err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "header alone": request[:17], "cut": request[:len(request)-1],
		"longer": append(bytes.Clone(request), 0), "version 0": append([]byte{0}, request[1:]...),
	} {
		if _, err := sealed.RequestKey(b); !errors.Is(err, sealed.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The message is the caller's own memory: writing over it, or appending to it,
// changes neither the request nor what was sealed.
func TestMemory(t *testing.T) {
	k := keyOf(1)
	said := []byte("status")
	request, _, err := k.Public().Seal(said)
	if err != nil {
		t.Fatal(err)
	}
	clear(said)
	before := bytes.Clone(request)
	got, _, err := k.Open(request)
	if err != nil || string(got) != "status" || cap(got) != len(got) {
		t.Errorf("opened %q with room for %d, %v", got, cap(got), err)
	}
	clear(got)
	if !bytes.Equal(request, before) {
		t.Error("the request changed")
	}
}
