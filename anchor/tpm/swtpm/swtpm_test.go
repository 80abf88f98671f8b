package swtpm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/anchor/tpm/swtpm"
)

func TestStartStopKill(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 25))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, end := range []func(*swtpm.Chip) error{(*swtpm.Chip).Stop, (*swtpm.Chip).Kill, (*swtpm.Chip).Stop} {
			c, err := swtpm.Start(dir)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(c.Path()); err != nil || info.Mode()&os.ModeSocket == 0 {
				t.Errorf("no socket at %s: %v", c.Path(), err)
			}
			for range 2 {
				if err := end(c); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// A folder that is none is an error with what swtpm says of it.
func TestStartFails(t *testing.T) {
	if _, err := swtpm.Start(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("started without a folder")
	}
}
