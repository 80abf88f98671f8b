//go:build !windows

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/client"
	"keepsake.example/internal/desktop/desktoptest"
)

// cmdMissed makes the schedule of a profile look chosen four days ago, and no backup made since the
// day after: "missed profile [5d]".
func cmdMissed(ts *testscript.TestScript, neg bool, args []string) {
	path := filepath.Join(ts.MkAbs(args[0]), "schedule.json")
	data, err := os.ReadFile(path)
	ts.Check(err)
	var s map[string]any
	ts.Check(json.Unmarshal(data, &s))
	days := 4
	if len(args) > 1 {
		days, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	s["chosen"] = time.Now().Add(-time.Duration(days) * 24 * time.Hour).UTC().Format(time.RFC3339)
	data, err = json.Marshal(s)
	ts.Check(err)
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cmdHeld waits until somebody watches over a profile. The deadline only keeps a failing test from hanging.
func cmdHeld(ts *testscript.TestScript, neg bool, args []string) {
	c := client.New(client.Settings{Profile: ts.MkAbs(args[0])})
	for range 3000 {
		if busy, err := c.Watching(); err == nil && busy != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("nobody watches over %s", args[0])
}

// desk is what a script has of the system.
type desk struct {
	network *desktoptest.FakeNetworkManager
	notices *desktoptest.FakeNotifications
}

var (
	deskMu sync.Mutex
	desks  = map[string]desk{}
)

// cmdBus starts the two buses of a desktop, with fakes of NetworkManager and of the notification service.
func cmdBus(t *testing.T, ts *testscript.TestScript, args []string) {
	system, session := desktoptest.Bus(t), desktoptest.Bus(t)
	ts.Setenv("DBUS_SYSTEM_BUS_ADDRESS", system)
	ts.Setenv("DBUS_SESSION_BUS_ADDRESS", session)
	deskMu.Lock()
	defer deskMu.Unlock()
	desks[ts.Getenv("WORK")] = desk{desktoptest.NetworkManager(t, system), desktoptest.Notifications(t, session)}
}

func deskOf(ts *testscript.TestScript) desk {
	deskMu.Lock()
	defer deskMu.Unlock()
	return desks[ts.Getenv("WORK")]
}

// cmdMetered sets NetworkManager's property Metered: "metered 1".
func cmdMetered(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.ParseUint(args[0], 10, 32)
	ts.Check(err)
	deskOf(ts).network.Set(uint32(n))
}

// cmdNotice checks what the notification service was told since the last time: nothing, or one message with the
// urgency and the words given: "notice", "notice 2 TEXT...".
func cmdNotice(ts *testscript.TestScript, neg bool, args []string) {
	var got []string
	for {
		select {
		case s := <-deskOf(ts).notices.Next():
			got = append(got, fmt.Sprintf("%d %s: %s", s.Urgency, s.Title, s.Text))
			continue
		default:
		}
		break
	}
	switch {
	case len(args) == 0 && len(got) > 0, len(args) > 0 && len(got) != 1:
		ts.Fatalf("told %q", got)
	case len(args) == 0:
		return
	}
	if !strings.HasPrefix(got[0], args[0]+" ") {
		ts.Fatalf("urgency is not %s: %s", args[0], got[0])
	}
	for _, words := range args[1:] {
		if !strings.Contains(got[0], words) {
			ts.Fatalf("told %q", got[0])
		}
	}
	// Nothing of the person's is in it.
	if strings.Contains(got[0], "/") || strings.Contains(got[0], "chats") {
		ts.Fatalf("names a file: %q", got[0])
	}
}
