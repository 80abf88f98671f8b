package cobblestone_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"keepsake.example/internal/cobblestone"
)

// where says which error a change at offset i of a message must give.
func wantErrorAt(t *testing.T, err error, i int) {
	t.Helper()
	if i >= head {
		wantChunkError(t, err, int64((i-head)/sealed))
	} else if !errors.Is(err, cobblestone.ErrCommitment) {
		t.Fatalf("byte %d of the header changed: %v", i, err)
	}
}

func TestEveryByteChangeIsRefused(t *testing.T) {
	_, message := testMessage(20)
	for i := range message {
		for change := 1; change < 256; change++ {
			message[i] ^= byte(change)
			_, err := cobblestone.Open(testKey, testContext, message)
			wantErrorAt(t, err, i)
			message[i] ^= byte(change)
		}
	}
}

func TestEveryByteFlipInTwoChunksIsRefused(t *testing.T) {
	_, message := testMessage(chunk + 20)
	for i := range message {
		message[i] ^= 0x80
		_, err := cobblestone.Open(testKey, testContext, message)
		wantErrorAt(t, err, i)
		message[i] ^= 0x80
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	_, message := testMessage(chunk + 20)
	for n := range message {
		_, err := cobblestone.Open(testKey, testContext, message[:n])
		switch body := n - head; {
		case body == 0 || body == sealed:
			if !errors.Is(err, cobblestone.ErrTruncated) {
				t.Fatalf("cut to %d: %v", n, err)
			}
		case body < cobblestone.TagSize || body > sealed && body < sealed+cobblestone.TagSize:
			if !errors.Is(err, cobblestone.ErrLength) {
				t.Fatalf("cut to %d: %v", n, err)
			}
		default:
			wantChunkError(t, err, int64(body/sealed))
		}
	}
}

func TestEveryExtensionIsRefused(t *testing.T) {
	_, message := testMessage(20)
	longer := append(message, make([]byte, 2*sealed)...)
	for n := len(message) + 1; n <= len(longer); n += 7 {
		if _, err := cobblestone.Open(testKey, testContext, longer[:n]); err == nil {
			t.Fatalf("opened with %d bytes behind it", n-len(message))
		}
	}
	chunks := chunksOf(message)
	_, err := openBoth(t, testKey, testContext, slices.Concat(message, chunks[0]))
	wantChunkError(t, err, 0)
}

// chunksOf splits the body of a message.
func chunksOf(message []byte) [][]byte {
	return slices.Collect(slices.Chunk(message[head:], sealed))
}

// TestMisplacedChunks moves whole, genuine chunks. The message has 37 of them, 16
// to a batch, so moves cross the batches of the reader too.
func TestMisplacedChunks(t *testing.T) {
	plaintext, message := testMessage(36*chunk + 100)
	other := chunksOf(cobblestone.Seal(testKey, testContext, plaintext)) // same key and bytes, other salt
	tests := []struct {
		name  string
		move  func(c [][]byte) [][]byte
		wrong int64
	}{
		{"swapped neighbours", func(c [][]byte) [][]byte { c[3], c[4] = c[4], c[3]; return c }, 3},
		{"swapped across batches", func(c [][]byte) [][]byte { c[15], c[16] = c[16], c[15]; return c }, 15},
		{"swapped at the same place of two batches", func(c [][]byte) [][]byte { c[1], c[17] = c[17], c[1]; return c }, 1},
		{"repeated", func(c [][]byte) [][]byte { c[20] = c[19]; return c }, 20},
		{"first removed", func(c [][]byte) [][]byte { return c[1:] }, 0},
		{"middle removed", func(c [][]byte) [][]byte { return slices.Delete(c, 30, 31) }, 30},
		{"a whole batch removed", func(c [][]byte) [][]byte { return slices.Delete(c, 16, 32) }, 16},
		{"inserted", func(c [][]byte) [][]byte { return slices.Insert(c, 36, c[35]) }, 36},
		{"final removed, one cut short", func(c [][]byte) [][]byte { c[35] = c[35][:500]; return c[:36] }, 35},
		{"final doubled", func(c [][]byte) [][]byte { return append(c, c[36]) }, 36},
		{"from another message", func(c [][]byte) [][]byte { c[0] = other[0]; return c }, 0},
		{"later from another message", func(c [][]byte) [][]byte { c[33] = other[33]; return c }, 33},
		{"final from another message", func(c [][]byte) [][]byte { c[36] = other[36]; return c }, 36},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			moved := append(bytes.Clone(message[:head]), bytes.Join(tt.move(chunksOf(message)), nil)...)
			_, err := openBoth(t, testKey, testContext, moved)
			wantChunkError(t, err, tt.wrong)
		})
	}
}

func TestFinalChunkRemoved(t *testing.T) {
	for _, n := range []int{chunk, chunk + 9, 16 * chunk, 16*chunk + 9, 35 * chunk} {
		_, message := testMessage(n)
		cut := message[:head+n/chunk*sealed]
		if _, err := openBoth(t, testKey, testContext, cut); !errors.Is(err, cobblestone.ErrTruncated) {
			t.Errorf("%d bytes without the final chunk: %v", n, err)
		}
	}
}

func TestWrongKeyAndContext(t *testing.T) {
	_, message := testMessage(100)
	check := cobblestone.Check((*[56]byte)(message), testContext)
	if !check(testKey) {
		t.Error("Check refuses the key")
	}
	for bit := range 256 {
		wrong := *testKey
		wrong[bit/8] ^= 1 << (bit % 8)
		if _, err := openBoth(t, &wrong, testContext, message); !errors.Is(err, cobblestone.ErrCommitment) {
			t.Fatalf("key with bit %d flipped: %v", bit, err)
		}
		if check(&wrong) {
			t.Fatalf("Check accepts the key with bit %d flipped", bit)
		}
	}
	for _, context := range [][]byte{nil, testContext[1:], append(bytes.Clone(testContext), 0)} {
		if _, err := openBoth(t, testKey, context, message); !errors.Is(err, cobblestone.ErrCommitment) {
			t.Errorf("context %q: %v", context, err)
		}
	}
}

// Check takes a short cut; it must still look at every byte of the header.
func TestCheckReadsWholeHeader(t *testing.T) {
	_, message := testMessage(0)
	header := (*[56]byte)(message)
	for i := range header {
		header[i] ^= 1
		if cobblestone.Check(header, testContext)(testKey) {
			t.Errorf("byte %d of the header changed: accepted", i)
		}
		header[i] ^= 1
	}
}

// Besides speed: a candidate key must not be left behind on the heap.
func TestCheckDoesNotAllocate(t *testing.T) {
	_, message := testMessage(0)
	check := cobblestone.Check((*[56]byte)(message), testContext)
	candidate := new([32]byte)
	if n := testing.AllocsPerRun(100, func() { check(candidate) }); n != 0 {
		t.Errorf("%v allocations for a wrong key", n)
	}
}

func TestCheckKeepsItsOwnCopies(t *testing.T) {
	_, message := testMessage(0)
	header, context := *(*[56]byte)(message), bytes.Clone(testContext)
	check := cobblestone.Check(&header, context)
	clear(header[:])
	clear(context)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 50 {
				if !check(testKey) || check(new([32]byte)) {
					t.Error("wrong answer")
				}
			}
		})
	}
	wait.Wait()
}

func TestOpenerEveryRun(t *testing.T) {
	plaintext, message := testMessage(6*chunk + 100)
	o, err := cobblestone.NewOpener(testKey, testContext, (*[56]byte)(message))
	if err != nil {
		t.Fatal(err)
	}
	const final = 6
	for first := range final + 1 {
		for last := first; last <= final; last++ {
			run := message[head+first*sealed : min(len(message), head+(last+1)*sealed)]
			want := "kept" + string(plaintext[first*chunk:min(len(plaintext), (last+1)*chunk)])
			got, err := o.Open([]byte("kept"), run, int64(first), last == final)
			if err != nil || string(got) != want {
				t.Fatalf("chunks %d to %d: %v", first, last, err)
			}
			if _, err := o.Open(nil, run, int64(first), last != final); err == nil {
				t.Fatalf("chunks %d to %d opened with final the wrong way round", first, last)
			}
			_, err = o.Open(nil, run, int64(first)+1, last == final)
			wantChunkError(t, err, int64(first)+1)
		}
	}
}

func TestOpenerRefusesRunsOfWrongShape(t *testing.T) {
	_, message := testMessage(2*chunk + 100)
	o, err := cobblestone.NewOpener(testKey, testContext, (*[56]byte)(message))
	if err != nil {
		t.Fatal(err)
	}
	body := message[head:]
	tests := []struct {
		name  string
		run   []byte
		first int64
		final bool
		want  error
	}{
		{"empty", nil, 0, false, cobblestone.ErrLength},
		{"empty final", nil, 3, true, cobblestone.ErrTruncated},
		{"short but not final", body[2*sealed:], 2, false, cobblestone.ErrLength},
		{"full but final", body[:sealed], 0, true, cobblestone.ErrTruncated},
		{"final shorter than a tag", body[:15], 0, true, cobblestone.ErrLength},
		{"negative", body[:sealed], -1, false, cobblestone.ErrLength},
		{"no room for the final chunk", body[:sealed], 1<<38 - 1, false, cobblestone.ErrLength},
		{"beyond 2^38 chunks", body[2*sealed:], 1 << 38, true, cobblestone.ErrLength},
		{"last number", body[2*sealed:], 1<<38 - 1, true, cobblestone.ErrChunk},
		{"largest number", body[:sealed], 1<<63 - 1, false, cobblestone.ErrLength},
	}
	for _, tt := range tests {
		if got, err := o.Open(nil, tt.run, tt.first, tt.final); got != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Chunks that did open must not be left in dst when a later one fails.
func TestOpenerZeroesOnFailure(t *testing.T) {
	plaintext, message := testMessage(3*chunk + 100)
	message[len(message)-1] ^= 1
	o, err := cobblestone.NewOpener(testKey, testContext, (*[56]byte)(message))
	if err != nil {
		t.Fatal(err)
	}
	memory := bytes.Repeat([]byte{0xa5}, 10+len(plaintext)+50)
	got, err := o.Open(memory[:10], message[head:], 0, true)
	wantChunkError(t, err, 3)
	want := slices.Concat(bytes.Repeat([]byte{0xa5}, 10), make([]byte, len(plaintext)), bytes.Repeat([]byte{0xa5}, 50))
	if got != nil || !bytes.Equal(memory, want) {
		t.Error("dst holds something other than its start, zeros, and what lay behind")
	}
}

func TestOpenerIsConcurrent(t *testing.T) {
	plaintext, message := testMessage(8*chunk + 1)
	o, err := cobblestone.NewOpener(testKey, testContext, (*[56]byte)(message))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			for range 20 {
				got, err := o.Open(nil, message[head+k*sealed:][:sealed], int64(k), false)
				if err != nil || !bytes.Equal(got, plaintext[k*chunk:][:chunk]) {
					t.Errorf("chunk %d: %v", k, err)
				}
			}
		})
	}
	wait.Wait()
}
