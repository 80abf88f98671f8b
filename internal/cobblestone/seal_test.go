package cobblestone_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

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

// iotest.TestReader reads in many ways and seeks about; every one must give the
// same bytes.
func TestSealerIsReader(t *testing.T) {
	for _, n := range seams {
		if n > 40*chunk {
			continue
		}
		plaintext := randomBytes(testRand(2), n)
		s := cobblestone.NewSealer(testKey, testContext, plaintext)
		var message bytes.Buffer
		if _, err := s.WriteTo(&message); err != nil || s.Size() != int64(message.Len()) {
			t.Fatalf("%d bytes: wrote %d of %d, %v", n, message.Len(), s.Size(), err)
		}
		if got, err := cobblestone.Open(testKey, testContext, message.Bytes()); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		s.Seek(0, io.SeekStart)
		if err := iotest.TestReader(s, message.Bytes()); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// A retry after a broken upload goes back to any place and must send the same bytes.
func TestSealerRereadIsIdentical(t *testing.T) {
	r := testRand(3)
	s := cobblestone.NewSealer(testKey, testContext, randomBytes(r, 40*chunk+100))
	message, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		from := r.Int64N(s.Size() + 1)
		if pos, err := s.Seek(from-s.Size(), io.SeekEnd); pos != from || err != nil {
			t.Fatalf("Seek to %d: %d, %v", from, pos, err)
		}
		want := message[from:min(from+r.Int64N(20*sealed), s.Size())]
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("re-reading %d bytes at %d: %v", len(want), from, err)
		}
	}
}

func TestSealerWriteToFromMiddle(t *testing.T) {
	s := cobblestone.NewSealer(testKey, nil, make([]byte, 20*chunk))
	message, _ := io.ReadAll(s)
	s.Seek(0, io.SeekStart)
	first := &shortWriter{room: 100_000}
	n, err := s.WriteTo(first)
	if !errors.Is(err, io.ErrShortWrite) || n != 100_000 {
		t.Fatalf("WriteTo a full writer: %d, %v", n, err)
	}
	var rest bytes.Buffer
	if _, err := s.WriteTo(&rest); err != nil || !bytes.Equal(append(first.got, rest.Bytes()...), message) {
		t.Fatalf("continuing: %v", err)
	}
}

// shortWriter takes room bytes and then less than it is given, without an error.
type shortWriter struct {
	got  []byte
	room int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room-len(w.got))
	w.got = append(w.got, p[:n]...)
	return n, nil
}

func TestSealerSeekRefusals(t *testing.T) {
	s := cobblestone.NewSealer(testKey, nil, nil)
	if _, err := s.Seek(-1, io.SeekStart); err == nil {
		t.Error("sought before the start")
	}
	if _, err := s.Seek(0, 3); err == nil {
		t.Error("accepted whence 3")
	}
	if pos, err := s.Seek(10, io.SeekEnd); pos != s.Size()+10 || err != nil {
		t.Errorf("Seek beyond the end: %d, %v", pos, err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read beyond the end: %d, %v", n, err)
	}
}

// Sealing other bytes under the same nonce must be refused, for good.
func TestSealerRefusesChangedPlaintext(t *testing.T) {
	plaintext := make([]byte, 40*chunk)
	s := cobblestone.NewSealer(testKey, nil, plaintext)
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 5*chunk + 7, 40*chunk - 1} {
		plaintext[at] ^= 1
		s.Seek(0, io.SeekStart)
		n, err := io.Copy(io.Discard, s)
		if !errors.Is(err, cobblestone.ErrChanged) || n > head+int64(at) {
			t.Fatalf("byte %d changed: %d bytes out, %v", at, n, err)
		}
		if batch := cobblestone.TestingOnlyBuffer(s); len(batch) == 0 || !isZero(batch) {
			t.Fatalf("byte %d changed: ciphertext under a spent nonce is kept", at)
		}
		plaintext[at] ^= 1
		s.Seek(0, io.SeekStart)
		if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, cobblestone.ErrChanged) {
			t.Fatalf("after a refusal: %d, %v", n, err)
		}
		s = cobblestone.NewSealer(testKey, nil, plaintext)
		io.Copy(io.Discard, s)
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
		io.Copy(io.Discard, cobblestone.NewSealer(testKey, context, plaintext))
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
