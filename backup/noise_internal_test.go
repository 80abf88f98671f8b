package backup

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

func TestNoise(t *testing.T) {
	const size = 256 << 10
	random := make([]byte, size)
	rand.NewChaCha8([32]byte{3}).Read(random)
	text := []byte(base64.StdEncoding.EncodeToString(random))
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	w.Write(text)
	w.Close()
	ramp, steps, records, samples := make([]byte, size), make([]byte, size), bytes.Clone(random), make([]byte, size)
	for i := range size {
		ramp[i], steps[i], samples[i] = byte(i), byte(i/3), random[i]%128+64
		if i%16 == 0 {
			records[i] = 0
		}
	}
	zeros := bytes.Clone(random)
	clear(zeros[size/2-100:])
	for name, test := range map[string]struct {
		chunk []byte
		want  bool
	}{
		"random": {random, true}, "deflated": {packed.Bytes(), true}, "short": {random[:4*noiseSize-1], false}, "base64": {text, false},
		"ramp": {ramp, false}, "steps": {steps, false}, "records": {records, false}, "samples": {samples, false}, "zeros behind": {zeros, false},
		"words": {bytes.Repeat([]byte("the quick brown fox "), size/20), false},
	} {
		if got := noise(test.chunk); got != test.want {
			t.Errorf("%s: noise is %v", name, got)
		}
	}
}

// Of what passes for noise the probe of compress would have said the same, however much of a chunk is.
func TestNoiseDoesNotCompress(t *testing.T) {
	random, passed := make([]byte, 128<<10), 0
	for seed := range 20 {
		rand.NewChaCha8([32]byte{byte(seed)}).Read(random)
		for share := 0; share < 64; share += 4 {
			chunk := bytes.Clone(random)
			for i, b := range chunk {
				if int(b) < share {
					chunk[i] = byte(i) & 15 // more and more of the same
				}
			}
			if !noise(chunk) {
				continue
			}
			passed++
			if c, _ := compress(chunk, nil, zstdFastest()); c != codecRaw {
				t.Errorf("seed %d, share %d: what passes for noise compresses", seed, share)
			}
		}
	}
	if passed < 20 || passed > 160 {
		t.Errorf("%d of 320 chunks pass for noise", passed)
	}
}

func BenchmarkNoise(b *testing.B) {
	random := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{3}).Read(random)
	for b.Loop() {
		noise(random)
	}
}
