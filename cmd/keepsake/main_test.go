//go:build !windows

package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/password"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keepsake": keepsakeMain, "keepsake-cloud": standInMain, "ordinary": ordinaryMain})
}

// keepsakeMain is the command as it is shipped, or, where a script is in a hurry, with the least
// costs of a password and no pauses between tries.
func keepsakeMain() {
	if os.Getenv("HURRY") != "" {
		pace.kdf = password.Floor
		pace.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	if dir := os.Getenv("POWER_SUPPLIES"); dir != "" {
		outside.supplies = dir
	}
	if os.Getenv("TIME_FLIES") != "" {
		timeFlies()
	}
	main()
}

// timeFlies makes the pauses of a watch take no time, and its clock show as if they had.
func timeFlies() {
	passed := time.Duration(0)
	outside.now = func() time.Time { return time.Now().Add(passed) }
	outside.pause = func(ctx context.Context, d time.Duration) error {
		passed += d
		return ctx.Err()
	}
}

// TestScripts runs the scripts in testdata, which are the manual of the command
// by example.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("TERM", "xterm")
			e.Setenv("TZ", "UTC")
			// A time of day that does not come while a script runs, nor in the 12 hours that one waits.
			e.Setenv("SLOT", time.Now().UTC().Add(13*time.Hour).Format("15:04"))
			// No keyring, also on a developer's desktop.
			e.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+e.WorkDir+"/no-bus")
			e.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+e.WorkDir+"/no-bus")
			e.Setenv("POWER_SUPPLIES", e.WorkDir+"/power")
			return os.Mkdir(e.WorkDir+"/home", 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":     cmdExit,
			"pty":      cmdPty,
			"json":     cmdJSON,
			"keep":     cmdKeep,
			"firstof":  cmdFirstOf,
			"same":     cmdSame,
			"copytree": cmdCopyTree,
			"messages": cmdMessages,
			"slip":     cmdSlip,
			"hold":     cmdHold,
			"flip":     cmdFlip,
			"spoil":    cmdSpoil,
			"plant":    cmdPlant,
			"mode":     cmdMode,
			"twin":     cmdTwin,
			"server":   func(ts *testscript.TestScript, neg bool, args []string) { cmdServer(t, ts, args) },
			"fault":    cmdFault,
			"advance":  cmdAdvance,
			"hardware": cmdHardware,
			"missed":   cmdMissed,
			"held":     cmdHeld,
			"bus":      func(ts *testscript.TestScript, neg bool, args []string) { cmdBus(t, ts, args) },
			"metered":  cmdMetered,
			"notice":   cmdNotice,
		},
		UpdateScripts:      os.Getenv("UPDATE") != "",
		RequireUniqueNames: true,
	})
}
