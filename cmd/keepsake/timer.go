package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"keepsake.example/client"
	"keepsake.example/client/schedule"
	"keepsake.example/client/timer"
	"keepsake.example/internal/cli"
)

// install is the command that warnings name.
var install = map[bool]string{true: "keepsake schedule launchd", false: "keepsake schedule systemd --install"}[runtime.GOOS == "darwin"]

func (a *app) scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "let the system run the backups at their times",
		Long: `Writes what the system's own timers need to run the backups at the times that
were chosen with keepsake backup --schedule. They start keepsake for each run, and
hold the path of the program, that of the profile and the times: no key, no password.`,
		Args: cobra.ArbitraryArgs,
		RunE: runParent,
	}
	cmd.AddCommand(a.systemdCommand(), a.launchdCommand())
	return cmd
}

type timerFlags struct{ install, uninstall, yes bool }

func (a *app) systemdCommand() *cobra.Command {
	var f timerFlags
	cmd := &cobra.Command{
		Use:   "systemd",
		Short: "a timer of systemd's user manager (Linux)",
		Long: `Prints a service and a timer for systemd's user manager, or installs them into
the user's own folder and starts the timer. A run that was missed while the device
was off, or nobody was logged in, is caught up with.

User timers run while the user is logged in. To have them run without that:
loginctl enable-linger. --uninstall stops the timer and removes both files. Files
that keepsake did not write are neither replaced nor removed.`,
		Example: `  keepsake schedule systemd
  keepsake schedule systemd --install
  keepsake schedule systemd --uninstall`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.systemd(cmd.Context(), f) },
	}
	flag(cmd, "install", &f.install)
	flag(cmd, "uninstall", &f.uninstall)
	flag(cmd, "yes", &f.yes)
	return cmd
}

func (a *app) launchdCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "launchd",
		Short: "a property list of launchd (macOS)",
		Long: `Prints a property list for launchd. A run that was missed while the device slept is
made when it wakes, one that was missed while it was off at the next login.

macOS does not tell keepsake about power and metered networks: runs wait for neither.`,
		Example: `  keepsake schedule launchd > ~/Library/LaunchAgents/example.keepsake.plist
  launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/example.keepsake.plist`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return a.launchd() },
	}
}

func (a *app) launchd() error {
	job, err := a.job()
	if err != nil {
		return err
	}
	f, err := job.Launchd()
	if err != nil {
		return usage(plain(err), "")
	}
	path := filepath.Join("~/Library/LaunchAgents", f.Name)
	return a.emit(filesJSON{[]fileJSON{{path, f.Text}}}, func(w io.Writer) {
		io.WriteString(w, f.Text)
		a.msg.Note("save it as %s, then: launchctl bootstrap gui/$(id -u) %s", path, path)
	})
}

// job is the one of the schedule of the profile.
func (a *app) job() (timer.Job, error) {
	s, err := chosen(a.client())
	if err != nil {
		return timer.Job{}, err
	}
	job := jobOf(a.profile)
	job.Times = s.Times
	return job, nil
}

func jobOf(profile string) timer.Job {
	return timer.Job{Program: program(), Profile: profile, Default: profile == defaultProfile()}
}

// program is the path to run this program by: the one in PATH, when it is this one, since the folder that a
// link of a package points to may have another name after the next upgrade.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	found, err := exec.LookPath(filepath.Base(self))
	if err != nil || !filepath.IsAbs(found) {
		return self
	}
	a, errA := os.Stat(found)
	b, errB := os.Stat(self)
	if errA == nil && errB == nil && os.SameFile(a, b) {
		return found
	}
	return self
}

type fileJSON struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

type filesJSON struct {
	Files []fileJSON `json:"files"`
}

// userUnits is the folder of the user's own units, "" when it is not known.
func userUnits() string {
	dir, err := os.UserConfigDir()
	if err != nil || runtime.GOOS != "linux" {
		return ""
	}
	return filepath.Join(dir, "systemd", "user")
}

func (a *app) systemd(ctx context.Context, f timerFlags) error {
	if f.install && f.uninstall {
		return usage("--install and --uninstall exclude each other", "choose one of them")
	}
	folder := userUnits()
	if folder == "" && (f.install || f.uninstall) {
		return usage("units of systemd are installed on Linux only", "on macOS: keepsake schedule launchd")
	}
	if f.uninstall {
		return a.uninstallTimer(ctx, folder, f.yes)
	}
	job, err := a.job()
	if err != nil {
		return err
	}
	files, err := job.Systemd()
	if err != nil {
		return usage(plain(err), "")
	}
	if f.install {
		return a.installTimer(ctx, job, folder, files, f.yes)
	}
	return a.emit(withPaths(folder, files), func(w io.Writer) {
		for i, file := range withPaths(folder, files).Files {
			fmt.Fprintf(w, "%s# %s\n%s", map[bool]string{true: "\n"}[i > 0], cli.Name(file.Path), file.Text)
		}
		a.msg.Note("nothing was installed; to have it done: %s", install)
	})
}

func withPaths(folder string, files []timer.File) (j filesJSON) {
	for _, f := range files {
		j.Files = append(j.Files, fileJSON{filepath.Join(folder, f.Name), f.Text})
	}
	return j
}

func (a *app) installTimer(ctx context.Context, job timer.Job, folder string, files []timer.File, yes bool) error {
	question := fmt.Sprintf("This writes %s and %s into %s,\nand starts the timer: each day at %s it runs\n  %s backup --unattended --profile %s\n",
		files[0].Name, files[1].Name, cli.Name(folder), job.Times, cli.Name(job.Program), cli.Name(job.Profile))
	if err := a.agree(ctx, question, "Install it?", yes); err != nil {
		return err
	}
	if err := foreign(timer.Write(folder, files)); err != nil {
		return err
	}
	unit := job.Name() + ".timer"
	// A timer that runs already goes by its new times once it is started anew.
	err := systemctl(ctx, []string{"daemon-reload"}, []string{"enable", unit}, []string{"restart", unit})
	if err != nil {
		return &failure{cli.Failed, "the files are written, but the timer could not be started: " + plain(err),
			"log in as this user at the device itself, then: systemctl --user daemon-reload && systemctl --user enable --now " + unit}
	}
	return a.emit(withPaths(folder, files), func(w io.Writer) {
		fmt.Fprintf(w, "The timer is installed and runs: %s\n", unit)
		fmt.Fprintln(w, "It runs while you are logged in; to have backups without that: loginctl enable-linger")
		fmt.Fprintf(w, "What its runs say: journalctl --user -u %s.service\n", job.Name())
	})
}

func (a *app) uninstallTimer(ctx context.Context, folder string, yes bool) error {
	job := jobOf(a.profile)
	files := []timer.File{{Name: job.Name() + ".service"}, {Name: job.Name() + ".timer"}}
	standing, err := timer.Look(folder, files)
	if err != nil {
		return err
	}
	if standing == timer.Absent {
		return &failure{cli.NotFound, "no timer of this profile is installed in " + cli.Name(folder), ""}
	}
	question := fmt.Sprintf("This stops %s and removes it and %s from %s.\nThe backups stay, and so does the schedule.\n", files[1].Name, files[0].Name, cli.Name(folder))
	if err := a.agree(ctx, question, "Uninstall it?", yes); err != nil {
		return err
	}
	if standing == timer.Foreign {
		return foreign(fmt.Errorf("removing the timer from %s: %w", folder, timer.ErrForeign))
	}
	// Without a user manager nothing runs, and the link that it follows at the next login is gone here.
	stopped := systemctl(ctx, []string{"disable", "--now", files[1].Name})
	if err := os.Remove(wanted(folder, files[1].Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	removed, err := timer.Remove(folder, files)
	if err != nil {
		return err
	}
	if stopped == nil {
		stopped = systemctl(ctx, []string{"daemon-reload"})
	}
	if stopped != nil {
		a.msg.Warning("systemd was not told: %s", plain(stopped))
	}
	return a.emit(map[string]int{"files_removed": removed}, func(w io.Writer) { fmt.Fprintln(w, "The timer is removed.") })
}

// agree shows what will be done, and asks.
func (a *app) agree(ctx context.Context, what, question string, yes bool) error {
	if yes {
		return nil
	}
	if !a.asks() {
		return usage("not confirmed, nothing was changed", "see what it is about: keepsake schedule systemd; to go ahead: --yes")
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("%s", what)
	ok, err := t.Confirm(ctx, question)
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

// tellTimerLeft warns of a timer that has nothing to do any more.
func (a *app) tellTimerLeft(c *client.Client) {
	if st := a.standing(c); st.timer == timer.Same || st.timer == timer.Other {
		a.msg.Warning("%s.timer is still installed, and will find nothing to do; remove it with: keepsake schedule systemd --uninstall", st.job.Name())
	}
}

func foreign(err error) error {
	if errors.Is(err, timer.ErrForeign) {
		return &failure{cli.Failed, plain(err), "a file of that name is there, and keepsake did not write it: move it away first"}
	}
	return err
}

// systemctl tells the user's manager to do some things, one after the other.
func systemctl(ctx context.Context, commands ...[]string) error {
	for _, words := range commands {
		out, err := exec.CommandContext(ctx, "systemctl", append([]string{"--user"}, words...)...).CombinedOutput()
		if err == nil {
			continue
		}
		said := strings.Join(strings.Fields(string(out)), " ")
		if said == "" {
			said = err.Error()
		}
		return fmt.Errorf("systemctl --user %s: %s", strings.Join(words, " "), said)
	}
	return nil
}

// wanted is the link by which the manager starts a timer.
func wanted(folder, unit string) string { return filepath.Join(folder, "timers.target.wants", unit) }

// lookForTimer finds out whether the system runs the schedule.
func (st *standing) lookForTimer(profile string) {
	st.job = jobOf(profile)
	st.job.Times = []schedule.Time{0}
	if st.schedule != nil {
		st.job.Times = st.schedule.Times
	}
	if runtime.GOOS == "darwin" {
		st.lookForAgent()
		return
	}
	files, err := st.job.Systemd()
	if folder := userUnits(); err == nil && folder != "" {
		st.timer, _ = timer.Look(folder, files)
		st.enabled = st.timer != timer.Absent && pathExists(wanted(folder, files[1].Name))
	}
}

func (st *standing) lookForAgent() {
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	file, err := st.job.Launchd()
	if err != nil {
		return
	}
	st.timer, _ = timer.Look(filepath.Join(home, "Library", "LaunchAgents"), []timer.File{file})
	st.enabled = st.timer != timer.Absent
}

func (st standing) timerName() string {
	if runtime.GOOS == "darwin" {
		return "launchd agent example." + st.job.Name()
	}
	return "systemd timer " + st.job.Name() + ".timer"
}
