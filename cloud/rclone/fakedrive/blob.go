package fakedrive

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// block is what an upload session keeps whole or not at all: 256 KiB, the
// unit chunks must be multiples of.
const block = 256 << 10

// blob is content on its way in.
type blob struct {
	file            *os.File
	md5, sha1, sha2 hash.Hash
	size            int64
}

func newBlob(path string) (*blob, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("fakedrive: making room for content: %w", err)
	}
	return &blob{file: f, md5: md5.New(), sha1: sha1.New(), sha2: sha256.New()}, nil
}

// take appends up to n bytes of r and says how many it read. Of an end that
// is no whole block it keeps nothing, unless last says that this is the end of
// the content and all of it came.
func (b *blob) take(r io.Reader, n int64, last bool) (read int64, err error) {
	buf := make([]byte, min(n, block))
	for read < n && err == nil {
		want := min(n-read, block)
		var got int
		got, err = io.ReadFull(r, buf[:want])
		read += int64(got)
		if err == nil && (want == block || last) {
			err = b.keep(buf[:want])
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return read, err
}

func (b *blob) keep(p []byte) error {
	if _, err := b.file.WriteAt(p, b.size); err != nil {
		return err
	}
	b.md5.Write(p)
	b.sha1.Write(p)
	b.sha2.Write(p)
	b.size += int64(len(p))
	return nil
}

// made is a file with this content and no place yet.
func (b *blob) made(id, mime string) *file {
	sum := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return &file{
		id: id, mime: mime, space: spaceDrive, size: b.size, content: b.file.Name(),
		md5: sum(b.md5), sha1: sum(b.sha1), sha2: sum(b.sha2),
	}
}

func (b *blob) close() { _ = b.file.Close() }

// drop forgets content that became no file.
func (b *blob) drop() {
	b.close()
	_ = os.Remove(b.file.Name())
}
