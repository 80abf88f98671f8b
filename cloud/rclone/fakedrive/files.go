package fakedrive

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	folderType = "application/vnd.google-apps.folder"

	// Spaces, files.list's parameter of that name.
	spaceDrive   = "drive"
	spaceAppData = "appDataFolder"
)

// file is a file or folder. All but its places is fixed when it is made, or
// replaced under s.mu when its content is.
type file struct {
	id, mime, space string
	app             string // the client id that made it
	size            int64
	md5, sha1, sha2 string // hexadecimal; empty for folders
	created         time.Time
	version         int64
	content         string // path of the file that holds it
	places          []place
}

// A place is what a listing says of a file from a time on. The last is what
// is true; what a listing shows is the last one older than its lag.
type place struct {
	at       time.Time
	name     string
	parent   string
	modified time.Time
	trashed  bool
	gone     bool // deleted for good
}

func (f *file) now() place { return f.places[len(f.places)-1] }

// at is the place a listing of that time shows.
func (f *file) at(t time.Time) (place, bool) {
	for _, p := range slices.Backward(f.places) {
		if !p.at.After(t) {
			return p, !p.gone
		}
	}
	return place{}, false
}

func (f *file) move(at time.Time, change func(*place)) {
	p := f.now()
	p.at = at
	change(&p)
	f.places = append(f.places, p)
	f.version++
}

// room makes one of the folders that have no parent. Callers hold s.mu, or
// nobody else knows the server yet.
func (s *Server) room(name, space, app string) *file {
	now := s.config.Now()
	f := &file{id: s.id("0"), mime: folderType, space: space, app: app, created: now}
	f.places = []place{{at: time.Time{}, name: name, modified: now}}
	s.files[f.id] = f
	return f
}

// resolve is the file of an id or alias that a client may see; nil if there
// is none. Callers hold s.mu.
func (s *Server) resolve(id string, g *grant) *file {
	switch id {
	case "root":
		id = s.root
	case spaceAppData:
		if !g.sees(spaceAppData) {
			return nil
		}
		if s.rooms[g.client] == "" { // "automatically created when you attempt to create a file in it"
			s.rooms[g.client] = s.room("Application data", spaceAppData, g.client).id
		}
		id = s.rooms[g.client]
	}
	f := s.files[id]
	if f == nil || f.now().gone || !g.maySee(f, s.root) {
		return nil
	}
	return f
}

// add makes a file known. Callers hold s.mu.
func (s *Server) add(f *file, p place) {
	p.at = s.config.Now()
	f.created, f.version, f.places = p.at, 1, []place{p}
	s.files[f.id] = f
	s.order = append(s.order, f)
}

// remove deletes for good, a folder with all that is in it. Callers hold s.mu.
func (s *Server) remove(f *file) {
	f.move(s.config.Now(), func(p *place) { p.gone = true })
	if f.content != "" {
		_ = os.Remove(f.content) // who reads it now reads on
	}
	for _, child := range s.order {
		if p := child.now(); p.parent == f.id && !p.gone {
			s.remove(child)
		}
	}
}

// trashed says whether a file or a folder above it is in the trash.
func (s *Server) trashed(p place) bool {
	for depth := 0; depth < 100; depth++ {
		if p.trashed {
			return true
		}
		parent := s.files[p.parent]
		if parent == nil {
			return false
		}
		p = parent.now()
	}
	return false
}

// used is the room taken: files in the trash count.
func (s *Server) used() (all, trash int64) {
	for _, f := range s.order {
		p := f.now()
		if p.gone {
			continue
		}
		all += f.size
		if s.trashed(p) {
			trash += f.size
		}
	}
	return all, trash
}

// find lists what is really at a path below My Drive, or below the hidden
// folder of the app that was used last for a path that starts with
// appDataFolder/. Callers hold s.mu.
func (s *Server) find(path string) []*file {
	above := []string{s.root}
	rest, hidden := strings.CutPrefix(path, spaceAppData+"/")
	if hidden {
		above = nil
		for _, id := range s.rooms {
			above = append(above, id)
		}
	}
	var found []*file
	for name := range strings.SplitSeq(rest, "/") {
		found = nil
		for _, f := range s.order {
			if p := f.now(); p.name == name && !p.gone && slices.Contains(above, p.parent) {
				found = append(found, f)
			}
		}
		above = nil
		for _, f := range found {
			above = append(above, f.id)
		}
	}
	return found
}

func (s *Server) contentPath(id string) string {
	return filepath.Join(s.config.Dir, "contents", id)
}
