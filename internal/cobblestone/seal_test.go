package cobblestone_test

import (
	"bytes"
	"testing"

	"keepsake.example/internal/cobblestone"
)

func TestRoundTripAtSeams(t *testing.T) {
	for _, n := range seams {
		plaintext, message := testMessage(n)
		if int64(len(message)) != cobblestone.SealedSize(int64(n)) {
			t.Errorf("%d bytes sealed to %d, SealedSize says %d", n, len(message), cobblestone.SealedSize(int64(n)))
		}
		got, err := openBoth(t, testKey, testContext, message)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestSizesAreInverse(t *testing.T) {
	valid := map[int64]int64{}
	for n := int64(0); n < 3*chunk; n++ {
		valid[cobblestone.SealedSize(n)] = n
	}
	for size := int64(-1); size < 3*sealed; size++ {
		want, ok := valid[size]
		got, err := cobblestone.PlaintextSize(size)
		if ok != (err == nil) || got != want {
			t.Fatalf("PlaintextSize(%d) = %d, %v; want %d, %v", size, got, err, want, ok)
		}
	}
}

func TestSizeLimits(t *testing.T) {
	const longest = cobblestone.MaxPlaintext
	size := cobblestone.SealedSize(longest)
	if n, err := cobblestone.PlaintextSize(size); n != longest || err != nil {
		t.Errorf("PlaintextSize(SealedSize(longest)) = %d, %v", n, err)
	}
	tests := []struct {
		size int64
		want error
	}{
		{-1, cobblestone.ErrLength},
		{0, cobblestone.ErrLength},
		{head - 1, cobblestone.ErrLength},
		{head, cobblestone.ErrTruncated},
		{head + 1, cobblestone.ErrLength},
		{head + 15, cobblestone.ErrLength},
		{head + sealed, cobblestone.ErrTruncated},
		{head + sealed + 15, cobblestone.ErrLength},
		{size + 1, cobblestone.ErrLength}, // a last chunk that is full, so another must follow
		{size + 1 + cobblestone.TagSize, cobblestone.ErrLength},
		{1<<63 - 1, cobblestone.ErrLength},
	}
	for _, tt := range tests {
		if _, err := cobblestone.PlaintextSize(tt.size); err != tt.want {
			t.Errorf("PlaintextSize(%d): %v, want %v", tt.size, err, tt.want)
		}
	}
	for _, n := range []int64{-1, longest + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("SealedSize(%d) did not panic", n)
				}
			}()
			cobblestone.SealedSize(n)
		}()
	}
}

// However the plaintext is cut, the message is the same, and stands behind what was in dst.
func TestBuilderPieces(t *testing.T) {
	r, salt := testRand(2), (*[24]byte)(testKey[:])
	for _, n := range seams {
		plaintext := randomBytes(testRand(uint64(n)), n)
		want := cobblestone.TestingOnlySeal(testKey, salt, testContext, plaintext)
		for _, most := range []int{1, 7, 100, chunk - 1, chunk, chunk + 1, 3 * chunk, n + 1} {
			if n > 3*chunk && most < 100 {
				continue
			}
			b := cobblestone.TestingOnlyNewBuilder(testKey, salt, testContext, []byte("header"))
			for rest := plaintext; len(rest) > 0; {
				piece := rest[:min(len(rest), 1+r.IntN(most))]
				if k, err := b.Write(piece); k != len(piece) || err != nil {
					t.Fatalf("Write of %d bytes: %d, %v", len(piece), k, err)
				}
				rest = rest[len(piece):]
			}
			b.Write(nil)
			if got := b.Finish(); !bytes.Equal(got, append([]byte("header"), want...)) {
				t.Fatalf("%d bytes in pieces up to %d: another message", n, most)
			}
		}
	}
}

// A message built in memory that is large enough stays there; the salt of two is never the same.
func TestBuilderInPlace(t *testing.T) {
	plaintext := randomBytes(testRand(3), 5*chunk+1)
	dst := make([]byte, 0, cobblestone.SealedSize(int64(len(plaintext))))
	b := cobblestone.NewBuilder(testKey, testContext, dst)
	b.Write(plaintext)
	first := b.Finish()
	if &first[0] != &dst[:1][0] || len(first) != cap(dst) {
		t.Errorf("the message has %d bytes, room was for %d; moved: %v", len(first), cap(dst), &first[0] != &dst[:1][0])
	}
	if again := cobblestone.Seal(testKey, testContext, plaintext); bytes.Equal(again[:head], first[:head]) {
		t.Error("two messages have one salt")
	}
	if got, err := cobblestone.Open(testKey, testContext, first); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("opening: %v", err)
	}
}

// A finished Builder keeps no plaintext and takes none: its last nonce is spent.
func TestBuilderIsFinished(t *testing.T) {
	b := cobblestone.NewBuilder(testKey, nil, nil)
	b.Write(bytes.Repeat([]byte("secret"), 10_000))
	if part := cobblestone.TestingOnlyBuffer(b); isZero(part) {
		t.Fatal("nothing was kept that could be wiped")
	}
	b.Finish()
	if part := cobblestone.TestingOnlyBuffer(b); !isZero(part) {
		t.Error("plaintext is kept")
	}
	for what, f := range map[string]func(){"Write": func() { b.Write([]byte{1}) }, "Finish": func() { b.Finish() }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after Finish did not panic", what)
				}
			}()
			f()
		}()
	}
}

func TestSaltIsFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		message := cobblestone.Seal(testKey, nil, nil)
		seen[string(message[:cobblestone.SaltSize])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d salts in 1000 messages", len(seen))
	}
}

// Neither sealing nor opening may write to an input, not even behind its end.
func TestInputsAreOnlyRead(t *testing.T) {
	for _, n := range []int{0, 10, chunk, chunk + 1} {
		plaintext, plainWhole := roomy(randomBytes(testRand(4), n))
		context, contextWhole := roomy(testContext)
		message, messageWhole := roomy(cobblestone.Seal(testKey, context, plaintext))
		before := [][]byte{bytes.Clone(plainWhole), bytes.Clone(contextWhole), bytes.Clone(messageWhole)}
		b := cobblestone.NewBuilder(testKey, context, nil)
		b.Write(plaintext)
		b.Finish()
		if _, err := cobblestone.Open(testKey, context, message); err != nil {
			t.Fatal(err)
		}
		cobblestone.Commitment(testKey, (*[24]byte)(message), context)
		cobblestone.Check((*[56]byte)(message), context)(testKey)
		for i, now := range [][]byte{plainWhole, contextWhole, messageWhole} {
			if !bytes.Equal(now, before[i]) {
				t.Errorf("%d bytes: input %d was written to", n, i)
			}
		}
	}
}

// roomy returns b with spare capacity behind it, and the whole of the memory.
func roomy(b []byte) (part, whole []byte) {
	whole = bytes.Repeat([]byte{0xa5}, len(b)+100)
	copy(whole, b)
	return whole[:len(b)], whole
}
