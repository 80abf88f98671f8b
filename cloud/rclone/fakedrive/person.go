package fakedrive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"
)

// Lag is how late what files.list shows is, after a change by anybody.
// files.get of an id is never late.
type Lag struct {
	Names   time.Duration // queries that ask for a name
	Folders time.Duration // all others
}

// SetLag sets the lag of listings from now on.
func (s *Server) SetLag(l Lag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = l
}

// RepeatRows lets each page of a listing but the first start with the row
// that the page before it ended with.
func (s *Server) RepeatRows(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeat = on
}

// SetQuota changes the room there is, in bytes; 0 is unlimited.
func (s *Server) SetQuota(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Quota = bytes
}

// A File is what the person sees in a web browser.
type File struct {
	ID      string
	Size    int64
	Trashed bool
}

// Files lists what is at a path below My Drive ("Keepsake/ring/0a1b"), or
// below the hidden folders of apps ("appDataFolder/…"): more than one when a
// name is there twice. What is in the trash is listed too. No lag hides
// anything here.
func (s *Server) Files(path string) []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []File
	for _, f := range s.find(path) {
		all = append(all, File{ID: f.id, Size: f.size, Trashed: s.trashed(f.now())})
	}
	return all
}

// Names lists the names in a folder, sorted, one for each file.
func (s *Server) Names(folder string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, in := range s.find(folder) {
		for _, f := range s.order {
			if p := f.now(); p.parent == in.id && !p.gone && !s.trashed(p) {
				names = append(names, p.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

var errNoFolder = errors.New("fakedrive: no such folder")

// Plant puts a file at a path as another device of the person would: whatever
// is there already stays. Its folder must exist.
func (s *Server) Plant(name string, content []byte) error {
	return s.PlantIn(path.Dir(name), 0, path.Base(name), content)
}

// PlantIn is Plant into the nth folder of a path, counted from 0, the oldest
// first.
func (s *Server) PlantIn(folder string, n int, name string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.find(folder)
	if n >= len(in) {
		return fmt.Errorf("%w: %s", errNoFolder, folder)
	}
	b, err := newBlob(s.contentPath(s.id("1")))
	if err != nil {
		return err
	}
	defer b.close()
	if _, err := b.take(bytes.NewReader(content), int64(len(content)), true); err != nil {
		return fmt.Errorf("fakedrive: planting: %w", err)
	}
	f := b.made(s.id("1"), "application/octet-stream")
	f.space, f.app = in[n].space, in[n].app
	s.add(f, place{name: name, parent: in[n].id, modified: s.config.Now()})
	return nil
}

// PlantCopy plants a second file beside the one at a path, with the same name
// and the first n bytes of its content, all if n is negative.
func (s *Server) PlantCopy(name string, n int64) error {
	s.mu.Lock()
	found := s.find(name)
	s.mu.Unlock()
	if len(found) == 0 {
		return fmt.Errorf("fakedrive: no file %s", name)
	}
	content, err := os.ReadFile(found[0].content)
	if err != nil {
		return fmt.Errorf("fakedrive: reading what is to be doubled: %w", err)
	}
	if n >= 0 {
		content = content[:min(n, int64(len(content)))]
	}
	return s.Plant(name, content)
}

// PlantFolder makes a folder beside whatever has its name.
func (s *Server) PlantFolder(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	parent, space, app := s.root, spaceDrive, ""
	if dir := path.Dir(name); dir != "." {
		in := s.find(dir)
		if len(in) == 0 {
			return fmt.Errorf("%w: %s", errNoFolder, dir)
		}
		parent, space, app = in[0].id, in[0].space, in[0].app
	}
	f := &file{id: s.id("1"), mime: folderType, space: space, app: app}
	s.add(f, place{name: path.Base(name), parent: parent, modified: s.config.Now()})
	return nil
}

// Trash moves what is at a path to the trash, as the person can.
func (s *Server) Trash(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.find(path) {
		f.move(s.config.Now(), func(p *place) { p.trashed = true })
	}
}

// Remove deletes what is at a path for good.
func (s *Server) Remove(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.find(path) {
		s.remove(f)
	}
}

// LoseSessions forgets all upload sessions, as Google does after a week.
func (s *Server) LoseSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}
