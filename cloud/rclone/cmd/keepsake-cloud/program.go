package main

import (
	"flag"

	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

const helpText = `keepsake-cloud speaks to clouds for keepsake: Google Drive, iCloud Drive, Dropbox, OneDrive,
Backblaze B2, S3, WebDAV, SFTP. It never sees the key of a backup, nor what is in it.

Sign in once, try the place, and then back up to it:
  keepsake cloud login gdrive
  keepsake cloud check gdrive:Keepsake
  keepsake enable CHATS --cloud gdrive:Keepsake --key

Sign-ins are kept in keepsake/clouds in your configuration folder (KEEPSAKE_CLOUDS names another),
sealed by a key in the system keyring if there is one. KEEPSAKE_CLOUD_IDLE is after how long without
a byte a connection counts as dead (60s). What each cloud can see: doc/clouds.md.`

func program() *command.Program[app, options] {
	return &command.Program[app, options]{
		Name: "keepsake-cloud", Help: helpText, JSON: true, Exits: exits(),
		Flags:     command.Columns,
		Arguments: func(o *options, args []string) { o.args = args },
		Commands: []command.Command[app, options]{
			{
				Name: "login", Args: "DEST", Short: "sign in to a cloud", Long: loginHelp, Example: loginExample,
				Flags: loginFlags, Run: login,
			},
			{
				Name: "logout", Args: "LOGIN", Short: "forget a sign-in", Long: logoutHelp, Example: "  keepsake cloud logout gdrive",
				Flags: func(f *flag.FlagSet, o *options) { f.BoolVar(&o.yes, "yes", false, "do not ask") }, Run: logout,
			},
			{Name: "list", Short: "list the sign-ins that are kept", Long: "Lists the sign-ins that are kept, without their secrets.", Run: list},
			{Name: "check", Args: "DEST", Short: "try a cloud", Long: checkHelp, Example: "  keepsake cloud check gdrive:Keepsake", Run: check},
			{Name: "serve", Short: "what keepsake starts", Long: "Serves one store to the keepsake that started it, over standard input and output\n(spec/cloud-process.md). Not for people.", Run: serve},
		},
	}
}

func exits() []command.Exit {
	var all []command.Exit
	for _, e := range []cli.Exit{cli.Done, cli.Failed, cli.Usage, cli.NotFound, cli.Damaged, cli.Busy, cli.Unreachable, cli.NoRoom, cli.Login, cli.Internal, cli.Interrupted} {
		all = append(all, exit(e))
	}
	return all
}

func exit(e cli.Exit) command.Exit {
	return command.Exit{Code: e.Code, Name: e.Name, Meaning: e.Meaning}
}

const loginHelp = `Signs in to a cloud, and keeps the sign-in on this device, in place of one there was. DEST is a
destination, or a provider alone: gdrive, icloud, dropbox, onedrive, b2, s3, s3+https://HOST,
webdav+https://HOST/PATH, sftp://USER@HOST. A second account of one provider is gdrive@work.

Google, Dropbox and Microsoft ask you in your browser; on a computer without one add --headless.
Passwords, keys and codes are asked for here, and are not shown while you type.`

const loginExample = `  keepsake cloud login gdrive
  keepsake cloud login gdrive@work --headless
  keepsake cloud login s3+https://s3.example.org --region eu-1
  keepsake cloud login sftp://me@host --key-file ~/.ssh/backup`

func loginFlags(f *flag.FlagSet, o *options) {
	f.StringVar(&o.user, "user", "", "`NAME` of the user, the Apple ID, or the id of the access key")
	f.StringVar(&o.secret, "secret-file", "", "read the password or secret key from `FILE`; - is standard input")
	f.StringVar(&o.clientID, "client-id", "", "your own OAuth client `ID`")
	f.StringVar(&o.clientSecret, "client-secret-file", "", "read the client's secret from `FILE`; - is standard input; it is asked for otherwise")
	f.BoolVar(&o.sharedClient, "shared-client-id", false, "Google: use rclone's client id, which is being retired, and do not ask")
	f.BoolVar(&o.headless, "headless", false, "the browser is on another computer: show the address, and take the answer by paste")
	f.BoolVar(&o.appData, "app-data", false, "Google: use the hidden folder of the app")
	f.BoolVar(&o.allFiles, "all-files", false, "Google: ask for the whole Drive, to find backups made under another client id")
	f.BoolVar(&o.environment, "from-environment", false, "S3: keep no key; use AWS_* or ~/.aws whenever a backup runs")
	f.StringVar(&o.region, "region", "", "S3: `REGION` of the bucket")
	f.StringVar(&o.vendor, "vendor", "", "S3, WebDAV: what the server is, in rclone's words (`NAME`); found out otherwise")
	f.StringVar(&o.keyFile, "key-file", "", "SFTP: private key `FILE`; it stays where it is")
	f.BoolVar(&o.agent, "agent", false, "SFTP: use the SSH agent")
	f.StringVar(&o.hostKey, "host-key", "", "SFTP: the server's `FINGERPRINT` (SHA256:…), so that nothing is asked")
	f.StringVar(&o.knownHosts, "known-hosts", "", "SFTP: `FILE` instead of ~/.ssh/known_hosts")
	f.StringVar(&o.store, "store", "", "keep it in: `keyring or file` (the keyring if there is one)")
}

const logoutHelp = `Forgets a sign-in: its file, and its key in the keyring. LOGIN is as list shows it. Backups in that
cloud stay as they are; nothing can be backed up to it or restored from it until you sign in again.

The provider still lists Keepsake among the apps you gave access to: take it back there too.`

const checkHelp = `Tries whether a cloud does what a backup needs, and how fast: in a folder of its own inside DEST,
which it removes again, it stores small objects and one of 16 MiB, lists, reads parts, tries to
overwrite, and deletes. It says how much room there is, what the provider can see, and which limits
are known. Backups in DEST are neither read nor touched.`
