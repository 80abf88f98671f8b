package sqlitepages_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"keepsake.example/internal/sqlitepages"
)

// Every commit shows in the state, in every journal mode, and so does a writer
// that leaves.
func TestStateFollowsWrites(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chat.db")
			w := startWriter(t, path, "journal_mode("+mode+")")
			var states [][]byte
			for range 5 {
				w.send("commit")
				w.answer()
				time.Sleep(20 * time.Millisecond) // longer than a step of the clock of inodes
				states = append(states, stateLater(t, path))
			}
			if again := stateLater(t, path); !bytes.Equal(again, states[4]) {
				t.Error("state changed without a write")
			}
			capture(t, path)
			if again := stateLater(t, path); !bytes.Equal(again, states[4]) {
				t.Error("state changed by a capture")
			}
			slices.SortFunc(states, bytes.Compare)
			if n := len(slices.CompactFunc(states, bytes.Equal)); n != 5 {
				t.Errorf("%d states after 5 commits", n)
			}
			w.quit()
		})
	}
}

// stateLater is the state as seen when the files have come to rest.
func stateLater(t *testing.T, path string) []byte {
	t.Helper()
	s, err := sqlitepages.StateAt(path, time.Now().Add(sqlitepages.Settle))
	must(t, err)
	return s
}

// A write in the same step of the file system's clock leaves the same times:
// the state of a file just written equals none.
func TestFreshStateEqualsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 1)
	info, err := os.Stat(path)
	must(t, err)
	soon := info.ModTime().Add(sqlitepages.Settle / 2) // whatever a busy machine makes of the time in between
	a, err := sqlitepages.StateAt(path, soon)
	must(t, err)
	b, err := sqlitepages.StateAt(path, soon)
	must(t, err)
	if bytes.Equal(a, b) {
		t.Error("two states of a file written just now are equal")
	}
}

// An empty log or journal holds nothing: whether it is there does not matter.
func TestStateIgnoresEmptySidecars(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 1)
	before := stateLater(t, path)
	for _, p := range sqlitepages.Sidecars(path) {
		must(t, os.WriteFile(p, nil, 0o600))
		if !bytes.Equal(stateLater(t, path), before) {
			t.Errorf("state changed by an empty %s", filepath.Base(p))
		}
	}
	must(t, os.WriteFile(path+"-journal", []byte{0}, 0o600))
	if bytes.Equal(stateLater(t, path), before) {
		t.Error("state did not change with the journal")
	}
}

func TestStateOfNothing(t *testing.T) {
	if _, err := sqlitepages.State(filepath.Join(t.TempDir(), "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}
