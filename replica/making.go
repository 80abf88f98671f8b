package replica

import (
	"errors"
	"io"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"keepsake.example/anchor"
)

// A making is a checkpoint that is being written: first the machine's picture, in
// a goroutine of its own, then the entries that came meanwhile (carried), and last,
// while the replica stands still, the few that are left and the trailer.
// All is sealed under a key that only this making knows until the anchor has it.
type making struct {
	disk    Disk
	draft   Draft
	epoch   *epoch // the next one
	chunks  *chunkWriter
	base    base
	picture Checkpoint
	carried uint64 // index of the last entry that is in the file
	rounds  int
	named   string      // the name that the file may have; none any more when the anchor was asked
	turned  bool        // the anchor has the key: what is left is removing old files
	stop    atomic.Bool // nobody wants it any more
	asked   []func(error)
}

var errStopped = errors.New("replica: the checkpoint was abandoned")

func newMaking(disk Disk, random io.Reader, b base) (*making, error) {
	m := &making{disk: disk, base: b, carried: b.index}
	if err := m.begin(random); err != nil {
		m.release()
		m.wipe()
		return nil, err
	}
	return m, nil
}

func (m *making) begin(random io.Reader) error {
	key, err := anchor.NewKey(random)
	if err != nil {
		return err
	}
	if m.epoch, err = newEpoch(key); err != nil {
		return err
	}
	if m.draft, err = m.disk.Create(); err != nil {
		return err
	}
	m.chunks, err = newChunkWriter(m, random, m.epoch)
	return err
}

// Write passes sealed chunks on, until the making is stopped.
func (m *making) Write(p []byte) (int, error) {
	if m.stop.Load() {
		return 0, errStopped
	}
	return m.draft.Write(p)
}

func (m *making) writePicture() error {
	head := m.base.append(make([]byte, 0, baseSize(m.base)))
	defer clear(head)
	if _, err := m.chunks.Write(head); err != nil {
		return err
	}
	if err := writeFrames(m.chunks, m.picture); err != nil {
		return err
	}
	// The replica stands still while the end is written: it must not wait for
	// gigabytes then.
	return m.draft.Sync()
}

// carry writes entries that follow those before. Only committed ones may be carried before the end:
// they never change.
func (m *making) carry(hard hardState, entries []*raftpb.Entry) error {
	for len(entries) > 0 {
		n, size := 1, entryHead+len(entries[0].GetData())
		for n < len(entries) && n < maxBatch && size < batchBytes {
			size += entryHead + len(entries[n].GetData())
			n++
		}
		part := batch{hard: hard, entries: entries[:n]}
		part.hard.commit = min(hard.commit, entries[n-1].GetIndex())
		if err := m.writeBatch(&part); err != nil {
			return err
		}
		m.carried, entries = entries[n-1].GetIndex(), entries[n:]
	}
	return nil
}

// writeBatch writes one batch, and leaves none of it in memory.
func (m *making) writeBatch(b *batch) error {
	body := b.append(make([]byte, 0, b.size()))
	defer clear(body)
	return writeFrame(m.chunks, body)
}

// finish writes the last batch and the trailer, and publishes the file. It
// returns where the chain is after it. After an error a file may be there: under
// a key that is lost, and so like none.
func (m *making) finish(prev chain, b batch) (chain, error) {
	if err := m.carry(b.hard, b.entries); err != nil {
		return chain{}, err
	}
	b.entries = nil // the hard state, even where there were none
	if err := m.writeBatch(&b); err != nil {
		return chain{}, err
	}
	if err := writeFrame(m.chunks, nil); err != nil {
		return chain{}, err
	}
	if _, err := m.chunks.Write(appendTrailer(nil, prev)); err != nil {
		return chain{}, err
	}
	if err := m.chunks.finish(); err != nil {
		return chain{}, err
	}
	m.named = checkpointName(prev.number + 1)
	return m.chunks.cipher.after(prev), m.draft.Publish(m.named)
}

// release ends a making that was finished, or that failed.
func (m *making) release() {
	m.base.secret.Wipe()
	if m.picture != nil {
		m.picture.Release()
	}
	if m.chunks != nil {
		m.chunks.wipe()
	}
	if m.draft != nil {
		m.draft.Close() // of a draft that is given up, or was published
	}
}

// wipe destroys the key of a making that nobody took over.
func (m *making) wipe() {
	if m.epoch != nil {
		m.epoch.wipe()
	}
}

func (m *making) answer(err error) {
	for _, done := range m.asked {
		done(err)
	}
	m.asked = nil
}
