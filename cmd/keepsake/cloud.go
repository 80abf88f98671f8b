package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keepsake.example/cloud/process"
	"keepsake.example/internal/cli"
)

const destinationHelp = `DEST is where a backup lies. A path is a folder: on another disk, or one that a cloud
program keeps in step. The others are reached by the program keepsake-cloud, which
comes with this one and never has the key. The first name says which cloud it is:

  /media/disk/chats-backup          a folder; ./NAME when NAME has a colon in it
  gdrive:Folder/Sub                 Google Drive
  icloud:Folder                     iCloud Drive
  dropbox:Folder                    Dropbox
  onedrive:Folder                   OneDrive
  b2:bucket/prefix                  Backblaze B2
  s3://bucket/prefix                Amazon S3
  s3+https://host/bucket/prefix     another server that speaks S3
  webdav+https://host/path          a WebDAV server: Nextcloud, ownCloud and others
  sftp://user@host/path             a server reached by SSH; /~/path is below the
                                    user's folder
  rclone:remote:path                a remote of rclone's own configuration

Sign in once, try the place, and back up to it:

  keepsake cloud login gdrive
  keepsake cloud check gdrive:Keepsake
  keepsake enable ~/Chats --cloud gdrive:Keepsake --key

A second account of one provider has a name: gdrive@work:Folder, s3@home://bucket.
Passwords, keys and tokens have no place in DEST; cloud login asks for them. Whatever
the cloud, it sees ciphertext, and the names, sizes and times of the objects.`

// transferFlags are those of commands that move much: to a network it takes long, and
// the network has other users.
func (a *app) transferFlags(cmd *cobra.Command, uploads bool) {
	if uploads {
		flag(cmd, "limit-upload", &a.limitUpload)
	}
	flag(cmd, "retry-for", &a.retryFor)
}

// patience is how long clouds are asked again. When it was not said: the library's own
// time, but short where a person waits to be told how things stand.
func (a *app) patience(cmd *cobra.Command) time.Duration {
	f := cmd.Flags().Lookup("retry-for")
	switch {
	case f == nil && slices.Contains([]string{"status", "snapshots", "inspect"}, cmd.Name()):
		return 5 * time.Second
	case f == nil || !f.Changed:
		return 0
	case a.retryFor == 0:
		return -1
	}
	return time.Duration(a.retryFor)
}

const (
	// A number without its unit would be KiB a second there, and bytes a second to whoever reads our help.
	onRate = `(?:off|[0-9]+(?:\.[0-9]+)?(?:[bB]|[kKmMgG](?:i?[bB])?))`
	onDay  = `(?i:sun(?:day)?|mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?)-`
	onSlot = `(?:` + onDay + `)?(?:[01][0-9]|2[0-3]):[0-5][0-9],` + onRate
)

// ratePattern is what rclone reads as a limit, or as limits by the time of day. It is checked
// before anything is done.
var ratePattern = regexp.MustCompile(`\A(?:` + onRate + `|` + onSlot + `(?: +` + onSlot + `)*)?\z`)

func checkRate(text string) error {
	if ratePattern.MatchString(text) {
		return nil
	}
	return usage(fmt.Sprintf("--limit-upload %q is no rate", text), `bytes a second with their unit: 512k, 1M; by the time of day: "08:00,512k 23:00,off"`)
}

// patience is a flag value that is a time to wait, in seconds, minutes or hours.
type patience time.Duration

func (p *patience) String() string { return time.Duration(*p).String() }
func (p *patience) Type() string   { return "TIME" }
func (p *patience) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 30*24*time.Hour {
		return errors.New("not a time such as 90s, 15m, 2h, or 0")
	}
	*p = patience(d)
	return nil
}

func (a *app) cloudCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cloud",
		Short: "sign in to a cloud, or try one",
		Long: `Signs in to Google Drive, iCloud Drive and other clouds, and tries whether one is fit
for backups. A folder needs none of it. How destinations are written, and which there
are: keepsake help destinations.

These commands are those of the program keepsake-cloud, which alone speaks to clouds.
It has the sign-in, and never the key of the backup.`,
		Args: cobra.ArbitraryArgs,
		RunE: runParent,
	}
	cmd.AddCommand(
		a.handedOver("login DEST", "sign in to a cloud", `Signs in to the cloud of DEST, or to a provider alone, and keeps the sign-in on this
device: in the system keyring, or in a file that only you can read. Google, Dropbox
and Microsoft ask you in your browser; on a computer without one add --headless.
Apple asks for a code of six digits. Passwords and keys are asked for here and are
not shown; none has a place on the command line.`, `  keepsake cloud login gdrive
  keepsake cloud login gdrive@work --headless
  keepsake cloud login icloud --user me@mail.example
  keepsake cloud login s3+https://s3.example --region eu-1
  keepsake cloud login sftp://me@host --key-file ~/.ssh/backup`),
		a.handedOver("logout LOGIN", "forget a sign-in", `Forgets a sign-in: its file, and its key in the keyring. LOGIN is as list shows it.
Backups in that cloud stay as they are, out of reach until you sign in again.`, `  keepsake cloud logout gdrive`),
		a.handedOver("list", "list the sign-ins that are kept", `Lists the sign-ins that are kept on this device, without their secrets.`, `  keepsake cloud list`),
		a.handedOver("check DEST", "try a cloud", `Tries whether a cloud does what a backup needs, and how fast: in a folder of its own
inside DEST, which it removes again, it stores small objects and one of 16 MiB,
lists, reads parts, tries to overwrite, and deletes. It says how much room there is,
what the provider can see, and which limits are known. Backups there are neither read
nor touched.`, `  keepsake cloud check gdrive:Keepsake
  keepsake cloud check s3://bucket/prefix --json`),
	)
	return cmd
}

// handedOver is a command of keepsake-cloud. What is given with it is read there.
func (a *app) handedOver(use, short, long, example string) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use:                use,
		Short:              short,
		Long:               long + "\n\nIts own flags: keepsake-cloud " + name + " -h",
		Example:            example,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "-h" || arg == "--help" {
					return cmd.Help()
				}
			}
			return a.handOver(append([]string{name}, withoutOurs(args)...))
		},
	}
}

// withoutOurs leaves out the flags of every command that keepsake-cloud does not have.
func withoutOurs(args []string) (theirs []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--profile":
			i++
		case strings.HasPrefix(arg, "--profile="), arg == "-q", arg == "--quiet":
		default:
			theirs = append(theirs, arg)
		}
	}
	return theirs
}

// exited is how a program ended that was run in place of this one, and has said all itself.
type exited struct{ code int }

func (e *exited) Error() string { return fmt.Sprintf("ended with code %d", e.code) }

// handOver runs keepsake-cloud with this terminal. It is in this process group: a
// Ctrl-C is for both, and this one waits until that has tidied up.
func (a *app) handOver(args []string) error {
	program, err := process.Find()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	err = cmd.Run()
	e, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ended:
		return fmt.Errorf("%w: %w", process.ErrProgram, err)
	case e.ExitCode() < 0:
		return &failure{cli.Failed, "keepsake-cloud was ended: " + e.String(), ""}
	}
	return &exited{e.ExitCode()}
}
