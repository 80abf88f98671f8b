//go:build !windows

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"

	"keepsake.example/backup"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// cmdExit runs a command that has to end with the code given, and sees to it that
// no key there is, in a file that ends with .key, got out: "exit 3 keepsake ...".
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE command...")
	}
	err := ts.Exec(args[1], args[2:]...)
	checkCode(ts, err, args[0])
	checkLeak(ts, ts.ReadFile("stdout")+ts.ReadFile("stderr"))
}

func checkCode(ts *testscript.TestScript, err error, want string) {
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != want {
		ts.Fatalf("ended with code %d, not %s", code, want)
	}
}

// checkLeak looks for any row of any key in what a command printed.
func checkLeak(ts *testscript.TestScript, output string) {
	keys, err := filepath.Glob(ts.MkAbs("*.key"))
	ts.Check(err)
	tight := squeeze(output)
	for _, path := range keys {
		digits := squeeze(ts.ReadFile(path))
		for i := 0; i+16 <= len(digits); i += 16 {
			if strings.Contains(tight, digits[i:i+16]) {
				ts.Fatalf("digits %d to %d of %s were printed", i+1, i+16, filepath.Base(path))
			}
		}
	}
}

func squeeze(text string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \n\r\t-", r) {
			return -1
		}
		return r
	}, text))
}

// cmdJSON checks that standard output is one JSON object, and values in it, a
// list by its length: "json error.code=wrong-key snapshots=[2]".
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	object := parseOne(ts)
	for _, arg := range args {
		path, want, _ := strings.Cut(arg, "=")
		if got := lookup(object, path); got != want {
			ts.Fatalf("%s is %s, not %s", path, got, want)
		}
	}
}

// cmdKeep sets a variable to a value of the JSON on standard output: "keep ID
// snapshot.id".
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], lookup(parseOne(ts), args[1]))
}

// cmdFirstOf sets a variable to the name of the first file in a folder.
func cmdFirstOf(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(args[1], entries[0].Name())
}

func parseOne(ts *testscript.TestScript) (object map[string]any) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	ts.Check(d.Decode(&object))
	if d.More() {
		ts.Fatalf("more than one JSON object on standard output")
	}
	return object
}

func lookup(v any, path string) string {
	for _, name := range strings.Split(path, ".") {
		if list, ok := v.([]any); ok {
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(list) {
				return "absent"
			}
			v = list[n]
			continue
		}
		m, _ := v.(map[string]any)
		found, ok := m[name]
		if !ok {
			return "absent"
		}
		v = found
	}
	if list, ok := v.([]any); ok {
		return fmt.Sprintf("[%d]", len(list))
	}
	return fmt.Sprint(v)
}

// cmdSame compares two folders: names, contents, modes, times of files, links.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	a, b := tree(ts, args[0]), tree(ts, args[1])
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] && !neg {
			ts.Fatalf("%s differs: %.80q and %.80q", name, a[name], b[name])
		}
	}
	if maps.Equal(a, b) == neg {
		ts.Fatalf("the folders are the same: %v, with %d and %d files", !neg, len(a), len(b))
	}
}

func tree(ts *testscript.TestScript, top string) map[string]string {
	files := map[string]string{}
	root := ts.MkAbs(top)
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			files[rel] = fmt.Sprintf("%v %v %s", info.Mode(), info.ModTime().UnixNano(), data)
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			files[rel] = "-> " + to
			return err
		case rel != ".":
			files[rel] = info.Mode().String()
		}
		return nil
	}))
	return files
}

func cmdCopyTree(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.RemoveAll(ts.MkAbs(args[1])))
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// cmdMessages adds N messages to a chat database, made if absent.
func cmdMessages(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("create table if not exists message (id integer primary key, text text)")
	ts.Check(err)
	tx, err := db.Begin()
	ts.Check(err)
	for i := range n {
		_, err = tx.Exec("insert into message (text) values (?)", fmt.Sprintf("message %d of a chat", i))
		ts.Check(err)
	}
	ts.Check(tx.Commit())
}

// cmdSlip copies a key with digits changed: "slip right.key wrong.txt 17 30".
func cmdSlip(ts *testscript.TestScript, neg bool, args []string) {
	digits := []byte(squeeze(ts.ReadFile(args[0])))
	for _, arg := range args[2:] {
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		digits[n-1] = slipped(digits[n-1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), digits, 0o600))
}

func slipped(digit byte) byte {
	if digit == 'f' {
		return '0'
	}
	return "0123456789abcdef"[strings.IndexByte("0123456789abcdef", digit)+1]
}

// cmdHold holds the lock of a profile until the script ends, as a running
// backup does.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.OpenFile(filepath.Join(ts.MkAbs(args[0]), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	ts.Check(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	_, err = f.WriteString(`{"what":"backup","pid":4711,"since":"2026-11-20T18:00:00Z"}`)
	ts.Check(err)
}

// cmdFlip changes the byte in the middle of every file of a folder.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	names, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*"))
	ts.Check(err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.Chmod(name, 0o600))
		ts.Check(os.WriteFile(name, data, 0o600))
	}
}

// lastIn reads the last file of a folder, by name.
func lastIn(ts *testscript.TestScript, folder string) (path string, data []byte) {
	names, err := filepath.Glob(filepath.Join(ts.MkAbs(folder), "*"))
	ts.Check(err)
	path = slices.Max(names)
	data, err = os.ReadFile(path)
	ts.Check(err)
	return path, data
}

// cmdSpoil changes a byte of the last file of a folder: of the newest head, for instance.
func cmdSpoil(ts *testscript.TestScript, neg bool, args []string) {
	path, data := lastIn(ts, args[0])
	data[300] ^= 1
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cmdPlant puts a head where it counts as the newest, as somebody can who has no key: of another
// one, with the id of its new name in its header.
func cmdPlant(ts *testscript.TestScript, neg bool, args []string) {
	_, data := lastIn(ts, args[0])
	const id = "000102030405060708090a0b0c0d0e0f"
	for i := range 16 {
		data[32+i] = byte(i)
	}
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "00000000000003e8-"+id), data, 0o600))
}

// cmdTwin makes another backup that a key opens: "twin a.key folder".
func cmdTwin(ts *testscript.TestScript, neg bool, args []string) {
	k, err := key.Parse([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	defer k.Wipe()
	store, err := dir.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	_, err = backup.Create(context.Background(), store, k, time.Now())
	ts.Check(err)
}

// cmdMode checks the mode of a file: "mode 600 chats.key".
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("mode of %s is %s, not %s", args[1], got, args[0])
	}
}
