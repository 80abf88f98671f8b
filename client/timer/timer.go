// Package timer writes what the system's own timers need to run a schedule: a
// service and a timer for systemd's user manager, a property list for launchd. Both
// start the program anew for each run, so that nothing of Keepsake waits in memory.
//
// The files hold the path of the program, that of the profile and the times: no
// key, no password, no destination. Whoever can write them can run
// programs as this user anyway.
//
// They say when to look, not whether a backup is due: the program decides that by
// the profile ("keepsake backup --unattended"). A timer that comes too often, or twice,
// so costs nothing.
package timer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"keepsake.example/client/schedule"
	"keepsake.example/internal/durable"
)

// marker is in the first lines of every file that this package writes. A file without it was
// written by somebody else, and is neither replaced nor removed.
const marker = "Written by keepsake"

// maxFile bounds what is read of a file in the place of ours, in bytes. Ours have under 4 KiB
// but for long paths.
const maxFile = 64 << 10

// ErrForeign means that a file of the name was not written by this package, or is changed so
// that it cannot be told.
var ErrForeign = errors.New("timer: not written by keepsake")

// Job is what is to be run when.
type Job struct {
	Program string // its absolute path
	Profile string // the absolute path of the profile folder
	// Default says that the profile is the user's default one, whose files have the plain names.
	Default bool
	Times   schedule.Times
}

// File is one file to write.
type File struct{ Name, Text string }

// Name is that of the job for the system: "keepsake", and for other profiles than the default one
// "keepsake-1a2b3c4d", so that each has its own.
func (j Job) Name() string {
	if j.Default {
		return "keepsake"
	}
	sum := sha256.Sum256([]byte(j.Profile))
	return "keepsake-" + hex.EncodeToString(sum[:4])
}

func (j Job) arguments() []string {
	return []string{j.Program, "backup", "--unattended", "--profile", j.Profile}
}

// check refuses what could not be run, or not be written down in any form.
func (j Job) check() error {
	if err := j.Times.Check(); err != nil {
		return err
	}
	for _, path := range []string{j.Program, j.Profile} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("timer: %.200q is not an absolute path", path)
		}
		if strings.ContainsRune(path, 0) {
			return errors.New("timer: a path with a zero byte")
		}
		if !utf8.ValidString(path) {
			return fmt.Errorf("timer: %.200q is not UTF-8, which files of timers have to be", path)
		}
	}
	return nil
}

// Standing is what there is in the place of some files.
type Standing int

// What can be found, the worst last.
const (
	Absent  Standing = iota // nothing of ours
	Same                    // every file, as it would be written now
	Other                   // ours, and written for other times, another program or version, or not all of them
	Foreign                 // a file that somebody else wrote
)

// Look says what there is in folder in the place of files.
func Look(folder string, files []File) (Standing, error) {
	same, absent, worst := 0, 0, Absent
	for _, f := range files {
		text, err := read(filepath.Join(folder, f.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			absent++
		case err != nil:
			return Absent, fmt.Errorf("looking at the timer: %w", err)
		case string(text) == f.Text:
			same++
		case !ours(text):
			worst = Foreign
		}
	}
	switch {
	case worst == Foreign:
		return Foreign, nil
	case absent == len(files):
		return Absent, nil
	case same == len(files):
		return Same, nil
	}
	return Other, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func ours(text []byte) bool {
	head := text[:min(len(text), 400)]
	return bytes.Contains(head, []byte(marker))
}

// Write writes the files into folder, which is made if need be. A file that somebody else wrote is
// ErrForeign, and then none is written.
func Write(folder string, files []File) error {
	standing, err := Look(folder, files)
	if err != nil {
		return err
	}
	if standing == Foreign {
		return fmt.Errorf("writing the timer in %s: %w", folder, ErrForeign)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("writing the timer: %w", err)
	}
	for _, f := range files {
		if err := durable.WriteFile(filepath.Join(folder, f.Name), []byte(f.Text), 0o644); err != nil {
			return fmt.Errorf("writing the timer: %w", err)
		}
	}
	return nil
}

// Remove removes the files that are there, and says how many were. A file that somebody else
// wrote is ErrForeign, and then none is removed.
func Remove(folder string, files []File) (removed int, err error) {
	standing, err := Look(folder, files)
	if err != nil {
		return 0, err
	}
	if standing == Foreign {
		return 0, fmt.Errorf("removing the timer from %s: %w", folder, ErrForeign)
	}
	for _, f := range files {
		err := os.Remove(filepath.Join(folder, f.Name))
		if err == nil {
			removed++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("removing the timer: %w", err)
		}
	}
	return removed, nil
}
