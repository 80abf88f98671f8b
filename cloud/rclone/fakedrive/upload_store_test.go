package fakedrive_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/fakedrive"
)

// byName keeps a rule for each file, so that tests can share a server.
type byName struct {
	mu    sync.Mutex
	rules map[string]fakedrive.Rule
}

func (b *byName) set(name string, r fakedrive.Rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules[name] = r
}

func (b *byName) rule(c fakedrive.Call) fakedrive.Fault {
	b.mu.Lock()
	r := b.rules[c.Name]
	b.mu.Unlock()
	if r == nil {
		return fakedrive.Fault{}
	}
	return r(c)
}

// onPart lets the nth request of an upload session fail, once.
func onPart(n int, f fakedrive.Fault) fakedrive.Rule {
	var mu sync.Mutex
	return func(c fakedrive.Call) fakedrive.Fault {
		mu.Lock()
		defer mu.Unlock()
		if c.Op != fakedrive.OpUploadChunk {
			return fakedrive.Fault{}
		}
		if n--; n != 0 {
			return fakedrive.Fault{}
		}
		return f
	}
}

var uploadFaults = map[string]fakedrive.Fault{
	"session-lost":    {Lose: true},
	"user-rate":       fakedrive.UserRate,
	"unavailable":     fakedrive.Unavailable,
	"answer-lost":     {CutAnswer: true},
	"answer-cut":      {CutAnswer: true, At: 20},
	"keeps-nothing":   {KeepLess: true, At: 1},
	"keeps-less":      {KeepLess: true, At: 3 * unit},
	"cut-at-once":     {Cut: true},
	"cut-after-1":     {Cut: true, At: 1},
	"cut-in-block":    {Cut: true, At: unit + 7},
	"cut-after-block": {Cut: true, At: unit},
	"cut-at-the-end":  {Cut: true, At: 1<<20 - 1},
}

// TestUploadBroken breaks each part of an upload in every way there is. Put
// may fail, and then nothing is seen, unless it was the last answer that was
// lost, and the same Put can be made again. What is seen is whole.
func TestUploadBroken(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	d.open(true)
	rules := &byName{rules: make(map[string]fakedrive.Rule)}
	d.Inject(rules.rule)
	t.Run("all", func(t *testing.T) { // ends before the server does
		for _, name := range slices.Sorted(maps.Keys(uploadFaults)) {
			for part := 1; part <= 3; part++ {
				t.Run(fmt.Sprint(name, part), func(t *testing.T) {
					t.Parallel()
					leaf := fmt.Sprintf("%s-%d", name, part)
					rules.set(leaf, onPart(part, uploadFaults[name]))
					(&drive{Server: d.Server, t: t, account: d.account, root: d.root}).breakUpload("data/"+leaf, part)
				})
			}
		}
	})
}

func (d *drive) breakUpload(name string, part int) {
	d.t.Helper()
	content := bytesOf(2<<20 + 5)
	s := d.open(false)
	err := s.Put(d.t.Context(), name, bytes.NewReader(content), int64(len(content)))
	lostAnswer := part == 3 && strings.Contains(name, "answer")
	if err != nil && lostAnswer {
		wantContent(d.t, d.open(false), name, content)
		return
	}
	if err != nil {
		if !errors.Is(err, cloud.ErrUnreachable) && !errors.Is(err, cloud.ErrThrottled) {
			d.t.Errorf("Put: %v; want an error that a retry is for", err)
		}
		if _, err := s.Stat(d.t.Context(), name); !errors.Is(err, cloud.ErrNotExist) {
			d.t.Errorf("after a failed Put, Stat = %v", err)
		}
		put(d.t, s, name, content)
	}
	wantContent(d.t, s, name, content)
	if got := d.Files(d.at(name)); len(got) != 1 || got[0].Size != int64(len(content)) {
		d.t.Errorf("there is %v", got)
	}
}

// TestDuplicates: another device put an object of the same name, or an upload
// whose answer was lost was made again. One is shown, reading finds a whole
// one, deleting leaves none.
func TestDuplicates(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late=", late), func(t *testing.T) {
			d := startDrive(t, fakedrive.Config{})
			s := d.open(true)
			content := bytesOf(5000)
			put(t, s, "data/x", content)
			for _, n := range []int64{-1, 100, 0} { // whole, and two that were cut
				if err := d.PlantCopy(d.at("data/x"), n); err != nil {
					t.Fatal(err)
				}
			}
			if late {
				s = d.open(false)
			}
			wantContent(t, s, "data/x", content)
			if got := sizes(t, s, "data/"); len(got) != 1 {
				t.Errorf("listed: %v", got)
			}
			wantContent(t, s, "data/x", content)
			if err := s.Delete(t.Context(), "data/x"); err != nil {
				t.Error(err)
			}
			if got := d.Files(d.at("data/x")); len(got) != 0 {
				t.Errorf("Delete left %v", got)
			}
		})
	}
}

// TestDuplicateFolders: two devices made the store at the same time, and each
// wrote to its own folders.
func TestDuplicateFolders(t *testing.T) {
	for _, scope := range []string{"drive", "drive.appfolder"} {
		t.Run(scope, func(t *testing.T) {
			d := startDrive(t, fakedrive.Config{}, scope)
			room := ""
			if scope != "drive" {
				d.appData()
				room = "appDataFolder/"
			}
			put(t, d.open(true), "ring/a", bytesOf(10))
			if err := d.PlantFolder(room + d.at("ring")); err != nil {
				t.Fatal(err)
			}
			if err := d.PlantIn(room+d.at("ring"), 1, "b", bytesOf(20)); err != nil {
				t.Fatal(err)
			}
			s := d.open(false)
			wantSizes(t, s, "ring/", map[string]int64{"ring/a": 10, "ring/b": 20})
			wantContent(t, s, "ring/a", bytesOf(10))
			wantContent(t, s, "ring/b", bytesOf(20))
		})
	}
}

// TestTrashed: what the person threw away is gone, and comes back when they
// take it out.
func TestTrashed(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	s := d.open(true)
	put(t, s, "data/x", bytesOf(10))
	d.Trash(d.at("data/x"))
	s = d.open(false)
	if _, err := s.Stat(t.Context(), "data/x"); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Stat of what is in the trash: %v", err)
	}
	wantSizes(t, s, "", map[string]int64{})
	put(t, s, "data/x", bytesOf(20))
	wantContent(t, s, "data/x", bytesOf(20))
	if err := s.Delete(t.Context(), "data/x"); err != nil {
		t.Error(err)
	}
	if got := d.Files(d.at("data/x")); len(got) != 1 || !got[0].Trashed {
		t.Errorf("there is %v; the person's trash is not ours to empty", got)
	}
}

// TestDownloadBroken: a download that breaks off is an error or continued,
// never short without a word.
func TestDownloadBroken(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	s := d.open(true)
	content := bytesOf(1 << 20)
	put(t, s, "data/x", content)
	for _, at := range []int64{0, 1, 70_000, 1<<20 - 1} {
		d.Inject(fakedrive.First(1, fakedrive.OpDownload, fakedrive.Fault{CutAnswer: true, At: at}))
		got, err := read(t, s, "data/x")
		if err == nil && !bytes.Equal(got, content) || err != nil && !errors.Is(err, cloud.ErrUnreachable) {
			t.Errorf("cut at %d: %d bytes, %v", at, len(got), err)
		}
	}
}

// TestRepeatedFolders: a folder that a listing in pages gives twice is one
// folder, not two to merge.
func TestRepeatedFolders(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	d.Set("list_chunk", "2")
	d.RepeatRows(true)
	put(t, d.open(true), "ring/a", bytesOf(10))
	s := d.open(false)
	wantSizes(t, s, "", map[string]int64{"ring/a": 10})
	for _, folder := range cloud.Folders() {
		if got := d.Files(d.at(folder)); len(got) != 1 || got[0].Trashed {
			t.Errorf("%s is %v", folder, got)
		}
	}
}
