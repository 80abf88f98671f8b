package fleet_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// spec §7.1: every truncation, a byte more, and every single changed byte is refused.
func TestMangleBundle(t *testing.T) {
	mangle(t, must(bundle().Sign(identity)))
	mangle(t, must(hardened().Sign(identity)))
}

func mangle(t *testing.T, data []byte) {
	t.Helper()
	for n := range data {
		if _, err := fleet.Open(data[:n], testID); !errors.Is(err, fleet.ErrFormat) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := fleet.Open(append(bytes.Clone(data), 0), testID); !errors.Is(err, fleet.ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
	m := bytes.Clone(data)
	for i := range m {
		m[i] ^= 1 << (i % 8)
		if _, err := fleet.Open(m, testID); err == nil {
			t.Errorf("byte %d changed: opened", i)
		}
		m[i] = data[i]
	}
}

// A bundle whose single bytes the fleet itself changed and signed is refused, or
// is another bundle whose one form are those bytes.
func TestMangleSigned(t *testing.T) {
	tail := 1 + 1 + 9*8 + 8 + 8 + 1 // all behind the channel keys
	mangleSigned(t, must(bundle().Sign(identity)), tail)
	mangleSigned(t, must(hardened().Sign(identity)), tail+33)
}

func mangleSigned(t *testing.T, data []byte, tail int) {
	t.Helper()
	content := data[:len(data)-64]
	change := func(i int, x byte) {
		m := bytes.Clone(content)
		m[i] = x
		m = sign(identity, m)
		if b, err := fleet.Open(m, testID); err == nil && !bytes.Equal(must(b.Sign(identity)), m) {
			t.Errorf("byte %d as %#x has another form", i, x)
		}
	}
	for i := range content {
		change(i, content[i]^1<<(i%8))
		if i >= len(content)-tail {
			change(i, 0)
			change(i, 0xff)
		}
	}
}

// The encoder refuses what the reader would.
func TestSignRefuses(t *testing.T) {
	k := bundle().Keys[0]
	for name, change := range map[string]func(*fleet.Bundle){
		"serial 0":        func(b *fleet.Bundle) { b.Serial = 0 },
		"issued":          func(b *fleet.Bundle) { b.Issued = fleet.MaxTime + 1 },
		"no identity":     func(b *fleet.Bundle) { b.Identity = nil },
		"long identity":   func(b *fleet.Bundle) { b.Identity = make([]byte, 33) },
		"no keys":         func(b *fleet.Bundle) { b.Keys = nil },
		"nil key":         func(b *fleet.Bundle) { b.Keys[0].Key = nil },
		"ends first":      func(b *fleet.Bundle) { b.Keys[0].NotAfter = b.Keys[0].NotBefore },
		"ends never":      func(b *fleet.Bundle) { b.Keys[0].NotAfter = fleet.MaxTime + 1 },
		"key twice":       func(b *fleet.Bundle) { b.Keys = append(b.Keys, fleet.ChannelKey{NotAfter: 1, Key: k.Key}) },
		"nine keys":       func(b *fleet.Bundle) { b.Keys = nineKeys() },
		"no attempts":     func(b *fleet.Bundle) { b.Policy.MaxAttempts, b.Policy.Waits = 0, nil },
		"eleven attempts": func(b *fleet.Bundle) { b.Policy = elevenAttempts() },
		"waits missing":   func(b *fleet.Bundle) { b.Policy.Waits = b.Policy.Waits[:8] },
		"waits fall":      func(b *fleet.Bundle) { b.Policy.Waits[8] = 0; b.Policy.Insecure = true },
		"long wait":       func(b *fleet.Bundle) { b.Policy.Waits[8] = fleet.MaxDuration + 1 },
		"long cool-down":  func(b *fleet.Bundle) { b.Policy.CoolDown = fleet.MaxDuration + 1 },
		"long grace":      func(b *fleet.Bundle) { b.Policy.Grace = fleet.MaxDuration + 1 },
		"weak wait":       func(b *fleet.Bundle) { b.Policy.Waits[3]-- },
		"weak cool-down":  func(b *fleet.Bundle) { b.Policy.CoolDown-- },
		"no point":        func(b *fleet.Bundle) { b.FleetKey = [33]byte{4, 1} },
	} {
		b := bundle()
		change(b)
		if data, err := b.Sign(identity); !errors.Is(err, fleet.ErrFormat) || data != nil {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	if data, err := bundle().Sign(identityOf(2)); !errors.Is(err, fleet.ErrForeign) || data != nil {
		t.Errorf("another identity: %d bytes, %v", len(data), err)
	}
}

func nineKeys() (keys []fleet.ChannelKey) {
	for i := range 9 {
		keys = append(keys, fleet.ChannelKey{NotAfter: 1, Key: channelKey(byte(i))})
	}
	return keys
}

func elevenAttempts() fleet.Policy {
	p := fleet.DefaultPolicy()
	p.MaxAttempts, p.Waits, p.Insecure = 11, append(p.Waits, p.Waits[8]), true
	return p
}

// spec §7.2: the default is strict, and whatever is shorter must say that it is insecure.
func TestPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fleet.Policy)
		weak   bool
	}{
		"default":       {func(p *fleet.Policy) {}, false},
		"longer waits":  {func(p *fleet.Policy) { p.Waits = slices.Repeat([]uint64{fleet.MaxDuration}, 9) }, false},
		"fewer":         {func(p *fleet.Policy) { p.MaxAttempts, p.Waits = 3, p.Waits[:2] }, false},
		"one":           {func(p *fleet.Policy) { p.MaxAttempts, p.Waits = 1, nil }, false},
		"first wait":    {func(p *fleet.Policy) { p.Waits[3]-- }, true},
		"last wait":     {func(p *fleet.Policy) { p.Waits[8]-- }, true},
		"cool-down":     {func(p *fleet.Policy) { p.CoolDown-- }, true},
		"long grace":    {func(p *fleet.Policy) { p.Grace *= 2 }, false},
		"short grace":   {func(p *fleet.Policy) { p.Grace = 0 }, false},
		"shifted waits": {func(p *fleet.Policy) { p.MaxAttempts, p.Waits = 9, append([]uint64{0}, p.Waits[:7]...) }, true},
	} {
		p := fleet.DefaultPolicy()
		c.change(&p)
		err := p.Check()
		if p.Weak() != c.weak || (err != nil) != c.weak {
			t.Errorf("%s: weak %v, %v", name, p.Weak(), err)
		}
		p.Insecure = true
		if err := p.Check(); err != nil {
			t.Errorf("%s, said to be insecure: %v", name, err)
		}
	}
	if !elevenAttempts().Weak() || elevenAttempts().Check() == nil {
		t.Error("eleven attempts are not weak, or allowed")
	}
	p := fleet.DefaultPolicy()
	p.Waits[0] = 1
	if fleet.DefaultPolicy().Waits[0] != 0 {
		t.Error("the default can be changed")
	}
}

// Without a fleet key the bundle is byte for byte what it was before there were any,
// and one with a key differs in its version, the key and the signature alone.
func TestFleetKeyChangesNothingElse(t *testing.T) {
	plain, hard := must(bundle().Sign(identity)), must(hardened().Sign(identity))
	end := len(plain) - 64
	want := slices.Concat(plain[:15], []byte{2}, plain[16:end], generator[:])
	if plain[15] != 1 || !bytes.Equal(hard[:len(hard)-64], want) {
		t.Error("more than version and fleet key differ")
	}
	if b := must(fleet.Open(hard, testID)); b.FleetKey != generator || !b.Hardened() {
		t.Errorf("opened with the fleet key %x", b.FleetKey)
	}
	if b := must(fleet.Open(plain, testID)); b.Hardened() {
		t.Errorf("opened with the fleet key %x", b.FleetKey)
	}
}

// What was opened shares no memory with the data.
func TestOpenedIsACopy(t *testing.T) {
	data := must(bundle().Sign(identity))
	want := bytes.Clone(data)
	b := must(fleet.Open(data, testID))
	clear(data)
	if !bytes.Equal(must(b.Sign(identity)), want) {
		t.Error("the bundle changed with its bytes")
	}
}

// regressions.md: stale bundles. A client never goes back, and never takes a second
// bundle of a serial it has seen.
func TestRegressionStaleBundle(t *testing.T) {
	seen, older, newer, fork := bundle(), bundle(), bundle(), bundle()
	older.Serial--
	newer.Serial++
	fork.Policy.Grace++
	for name, c := range map[string]struct {
		b     *fleet.Bundle
		stale bool
	}{"same": {bundle(), false}, "newer": {newer, false}, "older": {older, true}, "fork": {fork, true}} {
		if err := c.b.Follows(seen.Serial, seen.Digest()); errors.Is(err, fleet.ErrStale) != c.stale || (err != nil) != c.stale {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.b.Follows(0, [32]byte{}); err != nil {
			t.Errorf("%s, none seen: %v", name, err)
		}
	}
}

// regressions.md: keys fetched at first use and trusted. A bundle is nothing
// without the pinned id: another fleet's is refused, however well it is signed,
// and so is the pinned identity under another's signature.
func TestRegressionKeyFetchedAtFirstUse(t *testing.T) {
	relay := identityOf(0xbb)
	b := bundle()
	b.Identity = publicOf(relay)
	own := must(b.Sign(relay))
	if _, err := fleet.Open(own, testID); !errors.Is(err, fleet.ErrForeign) {
		t.Errorf("the relay's fleet: %v", err)
	}
	if _, err := fleet.Open(own, sealed.FleetID{}); !errors.Is(err, fleet.ErrForeign) {
		t.Errorf("without an id: %v", err)
	}
	data := must(bundle().Sign(identity))
	claimed := sign(relay, data[:len(data)-64])
	if _, err := fleet.Open(claimed, testID); !errors.Is(err, fleet.ErrSignature) {
		t.Errorf("signed by the relay: %v", err)
	}
}

// regressions.md: integers narrowed, lengths that overflow. Durations that would
// turn negative or wrap when they are added to a time are refused.
func TestRegressionIntegersNarrowed(t *testing.T) {
	for _, x := range []uint64{math.MaxUint64, math.MaxInt64, 1 << 63, math.MaxInt64/1_000_000 + 1, fleet.MaxDuration + 1} {
		for name, change := range map[string]func(*fleet.Policy){
			"wait":      func(p *fleet.Policy) { p.Waits[8] = x },
			"cool-down": func(p *fleet.Policy) { p.CoolDown = x },
			"grace":     func(p *fleet.Policy) { p.Grace = x },
		} {
			p := fleet.DefaultPolicy()
			change(&p)
			if p.Check() == nil {
				t.Errorf("%s of %d ms allowed", name, x)
			}
		}
	}
	if sum := uint64(fleet.MaxTime + fleet.MaxDuration); sum > math.MaxInt64/1_000_000 {
		t.Errorf("the last time and the longest wait are %d ms, over what nanoseconds can say", sum)
	}
	p := fleet.DefaultPolicy()
	p.Waits = make([]uint64, 256+9)
	if p.Insecure = true; p.Check() == nil {
		t.Error("265 waits for ten attempts allowed")
	}
}

// regressions.md: no size limit on a decode. What is too long is refused at its
// length, and counts that lie reserve nothing.
func TestRegressionNoSizeLimit(t *testing.T) {
	data := must(bundle().Sign(identity))
	long := append(bytes.Clone(data), make([]byte, 1<<20)...)
	lie := bytes.Clone(data)
	lie[64] = 255
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range [][]byte{long, lie} {
		if _, err := fleet.Open(b, testID); !errors.Is(err, fleet.ErrFormat) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8192 {
		t.Errorf("refused with %d bytes reserved", got)
	}
}
