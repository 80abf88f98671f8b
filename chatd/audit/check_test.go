package audit_test

import (
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/chatd/audit"
)

// Beside a process that writes the log, Check finds nothing wrong, and leaves nothing.
func TestCheckBesideTheWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := open(t, path)
	add(t, l, 0, 3)
	before := string(read(t, path))
	if err := audit.Check(path); err != nil {
		t.Error(err)
	}
	add(t, l, 3, 5)
	shut(t, l)
	whole(t, 5, path)
	if got := string(read(t, path)); got[:len(before)] != before {
		t.Error("the log was changed")
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 2 {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

func TestCheckOfALogThatIsNotThereMakesNone(t *testing.T) {
	dir := t.TempDir()
	if err := audit.Check(filepath.Join(dir, "log")); err != nil {
		t.Error(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("made %q, %v", names, err)
	}
}

func TestCheckFindsWhatOpenWould(t *testing.T) {
	dir := t.TempDir()
	damaged, folder, cut := filepath.Join(dir, "damaged"), filepath.Join(dir, "folder"), filepath.Join(dir, "cut")
	if err := os.WriteFile(damaged, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, []byte(`{"seq":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{damaged: false, folder: false, filepath.Join(dir, "none", "log"): false, cut: true} {
		if err := audit.Check(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
		if l, err := audit.Open(path, audit.Options{}); (err == nil) != good {
			t.Errorf("%s: opening: %v", path, err)
		} else if err == nil {
			shut(t, l)
		}
	}
}

// What is there and cannot be written is found, and so is a folder that takes no more
// files. Names that are folders stand for both: root may write everything else.
func TestCheckFindsWhatCannotBeWritten(t *testing.T) {
	for _, name := range []string{"log.lock", "log.check"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := audit.Check(filepath.Join(dir, "log")); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
