//go:build !windows

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
)

// zoneFile is a file of a zone that never changes its clock (RFC 8536 section 3).
func zoneFile(hours int, name string) []byte {
	data := append([]byte("TZif"), make([]byte, 16)...) // version 1
	for _, count := range []uint32{0, 0, 0, 0, 1, uint32(len(name) + 1)} {
		data = binary.BigEndian.AppendUint32(data, count)
	}
	data = binary.BigEndian.AppendUint32(data, uint32(int32(hours*3600)))
	return append(append(append(data, 0, 0), name...), 0)
}

// A watch that is carried to another zone shows, and goes by, the wall clock there. time.Local would stay as it was
// at the start.
func TestWallFollowsTheZone(t *testing.T) {
	was := outside
	defer func() { outside = was }()
	now := time.Date(2026, 11, 20, 3, 30, 0, 0, time.UTC)
	outside.now = func() time.Time { return now }
	outside.zone = filepath.Join(t.TempDir(), "localtime")
	a := &app{stdio: stdio{env: func(string) string { return "" }}}
	see := func(want string) {
		t.Helper()
		if got := a.wall(); !got.Equal(now) || got.Format("2006-01-02 15:04 MST") != want {
			t.Errorf("the wall shows %v, not %s", got, want)
		}
	}
	see("2026-11-20 03:30 UTC") // no file: as the C library has it
	for _, zone := range []struct {
		data []byte
		want string
	}{
		{zoneFile(9, "JST"), "2026-11-20 12:30 JST"},
		{zoneFile(-5, "EST"), "2026-11-19 22:30 EST"},
		{[]byte("TZif, and then not"), now.In(time.Local).Format("2006-01-02 15:04 MST")},
	} {
		if err := os.WriteFile(outside.zone, zone.data, 0o644); err != nil {
			t.Fatal(err)
		}
		outside.now = func() time.Time { return now.In(time.Local) }
		see(zone.want)
	}
	a.env = func(name string) string { return map[string]string{"TZ": "set"}[name] }
	see(now.In(time.Local).Format("2006-01-02 15:04 MST"))
}

// Which failures are tried again, which only a person can end, and which are another command's.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		err    error
		passes bool
		after  time.Duration
		waits  string
	}{
		{cloud.ErrUnreachable, true, 0, ""},
		{&cloud.DelayError{After: time.Hour, Err: cloud.ErrThrottled}, true, time.Hour, ""},
		{cloud.ErrFull, true, 0, ""},
		{client.ErrKeyring, true, 0, ""},
		{backup.ErrSourceEmpty, true, 0, ""},
		{backup.ErrLocked, true, 0, ""},
		{errors.New("odd"), true, 0, ""},
		{cloud.ErrDenied, false, 0, ""},
		{client.ErrKeyMissing, false, 0, ""},
		{backup.ErrWrongKey, false, 0, ""},
		{backup.ErrDamaged, false, 0, ""},
		{&backup.RollbackError{}, false, 0, ""},
		{&backup.InternalError{Type: "int", Where: "x"}, false, 0, ""},
		{process.ErrMissing, false, 0, ""},
		{&client.BusyError{}, false, 0, "another command to end"},
		{&client.BusyError{What: "prune", PID: 4711}, false, 0, "keepsake prune (process 4711) to end"},
		{&client.BusyError{What: "a\x1b[2J", PID: 1}, false, 0, `keepsake "a\x1b[2J" (process 1) to end`},
	} {
		v := judge(fmt.Errorf("doing it: %w", test.err))
		if v.Passes != test.passes || v.After != test.after || v.For != test.waits {
			t.Errorf("%v: %+v", test.err, v)
		}
	}
}
