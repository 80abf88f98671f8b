package replica_test

import (
	"bytes"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// FuzzBatch: whatever is read is written as the same bytes.
func FuzzBatch(f *testing.F) {
	f.Add(replica.EncodeBatch(1, 1, 2, 2, 1, "one", "", "three"))
	f.Add(replica.EncodeBatch(1, 0, 1, 2, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := replica.RecodeBatch(data)
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}

// FuzzHeads: the same of the headers of log files and checkpoints.
func FuzzHeads(f *testing.F) {
	w := worked(f)
	f.Add(w.now[w.names("log-")[0]].data[:64])
	f.Add(w.now[w.names("checkpoint-")[0]].data[:56])
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := replica.RecodeHead(data)
		if err == nil && !bytes.Equal(again, data[:len(again)]) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}

// FuzzPicture: what is inside a checkpoint, as another version may have written it. The
// reader ends, and takes no more memory than there are bytes.
func FuzzPicture(f *testing.F) {
	f.Add(replica.EncodePicture("picture", replica.EncodeBatch(1, 1, 2, 2, 1, "carried")))
	f.Add(replica.EncodePicture(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		picture, batches, err := replica.ReadPicture(data)
		if err == nil && len(picture)+batches > len(data) {
			t.Errorf("%d bytes and %d batches out of %d bytes", len(picture), batches, len(data))
		}
	})
}

// FuzzDisk: any bytes in the place of the last log file. The start refuses, or
// loses nothing.
func FuzzDisk(f *testing.F) {
	w := worked(f)
	name := w.names("log-")[1]
	data := w.now[name].data
	at := records(data)
	end := at[len(at)-1]
	f.Add(data[:end])
	f.Add(data[:at[1]])
	f.Add(append(bytes.Clone(data[:end]), "torn"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		again := w.image()
		again.put(name, data)
		r, err := replica.Open(t.Context(), again.config())
		if err != nil {
			return
		}
		got := strings.Join(entriesOf(t, r), " ")
		if want := "genesis before the checkpoint one two three four five"; got != want {
			t.Errorf("holds %q", got)
		}
		check(t, r.Close())
	})
}
