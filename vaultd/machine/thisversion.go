//go:build !nextversion

package machine

import (
	"io"

	"keepsake.example/replica"
)

// Version is the version of this program in a fleet: of what the members say to each
// other, of the entries, changes and pictures that they read. Members of versions
// that follow each other work together (spec/replication.md §17).
const Version = 2

// next is what the next version has in its state besides.
type next struct{}

func needsNext([]byte) uint32 { return replica.Unknown }

func (*Machine) applyNext([]byte) (effect any, ok bool) { return nil, false }

func (*next) version() byte { return 1 }

func (*next) append(head []byte) []byte { return head }

func (*next) read(io.Reader, byte) error { return nil }
