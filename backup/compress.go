package backup

import (
	"runtime"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// probeSize is how much of a large chunk is compressed to see whether it is worth it.
const probeSize = 16 << 10

// Encoders are shared: EncodeAll is safe for concurrent use.
var (
	zstdFastest = sync.OnceValue(func() *zstd.Encoder { return newEncoder(zstd.SpeedFastest) })
	zstdBetter  = sync.OnceValue(func() *zstd.Encoder { return newEncoder(zstd.SpeedDefault) })
)

func newEncoder(level zstd.EncoderLevel) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(maxBlock), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("backup: internal error: " + err.Error())
	}
	return e
}

// compress makes the stored form, as small as there is time for: packs that wait for the cloud leave time. Database pages, which come in bulk, are
// compressed fast where the cloud waits for us.
func (b *blockJob) compress(raw []byte, slowCloud bool) {
	out := borrowBlock()
	switch {
	case slowCloud && b.class == classPage:
		b.codec, b.stored = compressAll(raw, out, zstdBetter())
	case slowCloud:
		b.codec, b.stored = compress(raw, out, zstdBetter())
	case b.class == classPage:
		b.codec, b.stored = compressFast(raw, out)
	default:
		b.codec, b.stored = compress(raw, out, zstdFastest())
	}
	switch {
	case b.codec == codecRaw:
		returnBlock(out)
	case b.pooled:
		returnBlock(raw)
	}
}

// compress returns raw as it is to be stored. Media are compressed already: a probe from the middle spares the work.
func compress(raw, scratch []byte, encoder *zstd.Encoder) (codec, []byte) {
	if len(raw) >= 4*probeSize {
		middle := raw[len(raw)/2 : len(raw)/2+probeSize]
		if probe := zstdFastest().EncodeAll(middle, scratch[:0]); len(probe) > probeSize*15/16 {
			return codecRaw, raw
		}
	}
	return compressAll(raw, scratch, encoder)
}

// compressAll is compress without the probe, which says little of database pages: beside keys and thumbnails, which do not get smaller, lies text.
func compressAll(raw, scratch []byte, encoder *zstd.Encoder) (codec, []byte) {
	out := encoder.EncodeAll(raw, scratch[:0])
	if len(out) >= len(raw) {
		return codecRaw, raw
	}
	return codecZstd, out
}

// compressFast is for when nothing but this holds up the backup: it takes a fifth of the time and a quarter more room.
func compressFast(raw, scratch []byte) (codec, []byte) {
	if out := s2.EncodeSnappy(scratch[:cap(scratch)], raw); len(out) < len(raw) {
		return codecSnappy, out
	}
	return codecRaw, raw
}
