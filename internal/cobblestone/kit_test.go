package cobblestone_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"keepsake.example/internal/cobblestone"
)

const (
	chunk  = cobblestone.ChunkSize
	sealed = cobblestone.ChunkSize + cobblestone.TagSize
	head   = cobblestone.HeaderSize
)

var (
	testKey     = (*[32]byte)([]byte("YELLOW SUBMARINE YELLOW SUBMARIN"))
	testContext = []byte("keepsake test")
)

// seams are the plaintext lengths at which an off-by-one would show.
var seams = []int{
	0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1,
	cobblestone.BatchChunks*chunk - 1, cobblestone.BatchChunks * chunk, cobblestone.BatchChunks*chunk + 1,
	2*cobblestone.BatchChunks*chunk - 1, 2 * cobblestone.BatchChunks * chunk, 300*chunk + 5,
}

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 20)) }

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func isZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }

// testMessage is a plaintext of n bytes and its message under testKey and testContext.
func testMessage(n int) (plaintext, message []byte) {
	plaintext = randomBytes(testRand(uint64(n)), n)
	return plaintext, cobblestone.Seal(testKey, testContext, plaintext)
}

// openStream opens through NewReader. What it returns beside an error is what the
// reader let out before it.
func openStream(key *[32]byte, context []byte, source io.Reader) ([]byte, error) {
	r, err := cobblestone.NewReader(key, context, source)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	if n, again := r.Read(make([]byte, 1)); n != 0 || (err != nil && again != err) || (err == nil && again != io.EOF) {
		return got, errors.New("reader did not keep to its answer")
	}
	return got, err
}

// openBoth opens through Open and through NewReader, which must agree.
func openBoth(t *testing.T, key *[32]byte, context, message []byte) ([]byte, error) {
	t.Helper()
	got, err := cobblestone.Open(key, context, message)
	stream, streamErr := openStream(key, context, iotest.DataErrReader(bytes.NewReader(message)))
	if (err == nil) != (streamErr == nil) || (err != nil && err.Error() != streamErr.Error()) {
		t.Fatalf("Open: %v, NewReader: %v", err, streamErr)
	}
	if err != nil && got != nil {
		t.Fatalf("Open returned %d bytes beside %v", len(got), err)
	}
	if err == nil && !bytes.Equal(got, stream) {
		t.Fatal("Open and NewReader give different plaintexts")
	}
	return got, err
}

// wantChunkError fails unless err is a ChunkError for the chunk.
func wantChunkError(t *testing.T, err error, number int64) {
	t.Helper()
	var ce *cobblestone.ChunkError
	if !errors.As(err, &ce) || ce.Number != number || !errors.Is(err, cobblestone.ErrChunk) {
		t.Fatalf("got %v, want an error for chunk %d", err, number)
	}
}
