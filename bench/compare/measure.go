package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// measurement is what one command took.
type measurement struct {
	seconds  float64 // wall time
	cpu      float64 // seconds of processor time, all its processes together
	peakMiB  float64 // resident memory of its biggest process
	uploaded int64   // bytes of the files in the store that it wrote
}

type result struct {
	tool  string
	step  step
	round int
	measurement
}

// measure runs one line with bash. What it prints is shown only if it fails.
func measure(line string, env []string) (measurement, error) {
	var output bytes.Buffer
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", line)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	m := measurement{seconds: time.Since(start).Seconds()}
	if err != nil {
		return m, fmt.Errorf("running %s: %w\n%s", line, err, output.Bytes())
	}
	m.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.peakMiB = float64(usage.Maxrss) / 1024
	}
	return m, nil
}

// settle gives every command the same start: nothing of the one before still on its way to the disk,
// and everything that it will read in the page cache.
func settle(folders ...string) error {
	syscall.Sync()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(io.Discard, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading %s into the cache: %w", folder, err)
		}
	}
	return nil
}

// state tells one version of a file from another.
type state struct {
	size    int64
	changed time.Time
}

// files lists the regular files below a folder.
func files(folder string) (map[string]state, error) {
	all := map[string]state{}
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, name)
		all[rel] = state{info.Size(), info.ModTime()}
		return err
	})
	return all, err
}

// written adds up the files that are new or were rewritten: what a cloud would have been sent. The
// growth of the store would hide what a tool replaces.
func written(before, after map[string]state) int64 {
	var n int64
	for name, now := range after {
		if then, had := before[name]; !had || then.size != now.size || !then.changed.Equal(now.changed) {
			n += now.size
		}
	}
	return n
}

// mirror makes one folder like another as a person's messenger would: files that are the same stay
// untouched, those that differ are written in place, those too many are removed.
func mirror(from, to string) error {
	want, err := files(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	have, err := files(to)
	if err != nil {
		return err
	}
	for name := range have {
		if _, keep := want[name]; !keep {
			if err := os.Remove(filepath.Join(to, name)); err != nil {
				return err
			}
		}
	}
	for name, s := range want {
		if h, ok := have[name]; ok && h.size == s.size && h.changed.Equal(s.changed) {
			continue
		}
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name), s.changed); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, changed time.Time) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chtimes(to, changed, changed)
}
