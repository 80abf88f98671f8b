package replica

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"

	"keepsake.example/anchor"
)

// A writer's buffer grows with what is written: the stream is the same however it comes, and what
// held plaintext before is cleared.
func TestChunkWriterGrows(t *testing.T) {
	key, err := anchor.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEpoch(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, firstRoom - tagSize, firstRoom - tagSize + 1, 5 * firstRoom, chunkSize, chunkSize + 1, 2*chunkSize + 7} {
		for _, piece := range []int{1000, firstRoom, chunkSize, 3 * chunkSize} {
			plain := bytes.Repeat([]byte{0xa5}, size)
			if got := throughChunks(t, e, plain, piece); !bytes.Equal(got, plain) {
				t.Errorf("%d bytes in pieces of %d: %d bytes come back", size, piece, len(got))
			}
		}
	}
}

// throughChunks writes in pieces and reads what was written.
func throughChunks(t *testing.T, e *epoch, plain []byte, piece int) []byte {
	var file bytes.Buffer
	w, err := newChunkWriter(&file, rand.Reader, e)
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 0; {
		n := min(piece, len(rest))
		was := w.buf[:cap(w.buf)]
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		if now := w.buf[:cap(w.buf)]; &now[0] != &was[0] && !bytes.Equal(was, make([]byte, len(was))) {
			t.Errorf("%d bytes in pieces of %d: plaintext in a buffer of %d that was given up", len(plain), piece, len(was))
		}
		rest = rest[n:]
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	h, err := decodeCheckpointHead(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r, err := newChunkReader(bytes.NewReader(file.Bytes()), int64(file.Len()), e, h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
