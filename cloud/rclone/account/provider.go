package account

import (
	"context"
	"strings"

	"keepsake.example/cloud"
)

// A Provider describes a kind of cloud to people.
type Provider struct {
	Kind string // of cloud.Destination
	Name string
	// Sees says what the provider can see of a backup.
	Sees []string
	// Limits are those that are known, with where they are documented.
	Limits []string
	// Revoke is where the person takes the access back at the provider.
	Revoke string
	// Experimental says why nobody should rely on it alone; "" for those that
	// are not.
	Experimental string

	backend string
	login   func(*flow, context.Context) error
}

const seesNames = "names of objects (random but for a few fixed words), their sizes, when they were stored and read, your address on the network; no content, no name of a file or chat"

var providers = []Provider{
	{
		Kind: cloud.KindGDrive, Name: "Google Drive", backend: "drive", login: (*flow).drive,
		Sees:   []string{seesNames, "that it is Keepsake or rclone that asks; Keepsake sees only files it made itself (scope drive.file) or its hidden folder (drive.appfolder), nothing else in the Drive"},
		Limits: []string{"750 GB of uploads a day (support.google.com/a/answer/172541)", "325,000 quota units a minute and user, counted for the client id (developers.google.com/workspace/drive/api/guides/limits)"},
		Revoke: "https://myaccount.google.com/connections",
	},
	{
		Kind: cloud.KindICloud, Name: "iCloud Drive", backend: "iclouddrive", login: (*flow).icloud,
		Sees:         []string{seesNames, "with Advanced Data Protection Apple says that it cannot read names either, but then access from the web must be allowed"},
		Limits:       []string{"not documented by Apple; what is deleted fills the quota for 30 days more, in Recently Deleted"},
		Revoke:       "https://account.apple.com (Devices, and change the password)",
		Experimental: "Apple has no public interface for iCloud Drive; this one is icloud.com's own, which Apple can change any day. The sign-in holds for about 30 days, the Apple ID's password is kept to renew it, and it opens all of the Apple account",
	},
	{
		Kind: cloud.KindDropbox, Name: "Dropbox", backend: "dropbox", login: (*flow).browser,
		Sees:   []string{seesNames},
		Limits: []string{"not documented as numbers; slows down with Retry-After (developers.dropbox.com/error-handling-guide)"},
		Revoke: "https://www.dropbox.com/account/connected_apps",
	},
	{
		Kind: cloud.KindOneDrive, Name: "OneDrive", backend: "onedrive", login: (*flow).onedrive,
		Sees:   []string{seesNames},
		Limits: []string{"not documented as numbers; slows down with Retry-After (learn.microsoft.com/graph/throttling)"},
		Revoke: "https://account.live.com/consent/Manage, or https://myapps.microsoft.com for work and school",
	},
	{
		Kind: cloud.KindB2, Name: "Backblaze B2", backend: "b2", login: (*flow).b2,
		Sees:   []string{seesNames},
		Limits: []string{"the daily caps you set yourself (secure.backblaze.com, Caps & Alerts)"},
		Revoke: "https://secure.backblaze.com/app_keys.htm",
	},
	{
		Kind: cloud.KindS3, Name: "S3", backend: "s3", login: (*flow).s3,
		Sees:   []string{seesNames, "whoever may read the bucket or its access logs sees the same"},
		Limits: []string{"Amazon: 3,500 writes and 5,500 reads a second below each prefix (docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html)"},
		Revoke: "the provider's console: delete the access key",
	},
	{
		Kind: cloud.KindWebDAV, Name: "WebDAV", backend: "webdav", login: (*flow).webdav,
		Sees:   []string{seesNames, "whoever administers the server sees the same"},
		Revoke: "the server's settings: delete the app password (Nextcloud: Settings, Security)",
	},
	{
		Kind: cloud.KindSFTP, Name: "SFTP", backend: "sftp", login: (*flow).sftp,
		Sees:   []string{seesNames, "whoever administers the server sees the same"},
		Revoke: "the server: take the key out of ~/.ssh/authorized_keys, or change the password",
	},
}

// Providers lists the kinds of cloud one signs in to, in the order in which people
// look for them.
func Providers() []Provider { return append([]Provider(nil), providers...) }

// ProviderOf describes the provider of a kind of destination.
func ProviderOf(kind string) (Provider, bool) { return providerOf(kind) }

func providerOf(kind string) (Provider, bool) {
	for _, p := range providers {
		if p.Kind == kind {
			return p, true
		}
	}
	return Provider{}, false
}

func knownKind(kind string) bool {
	kind, _, _ = strings.Cut(kind, "+")
	_, ok := providerOf(kind)
	return ok
}

// ParseLogin reads what to sign in to: a destination, or a provider without a
// place: "gdrive", "gdrive@work", "s3+https://host". The destination given back has
// a path only if the text had.
func ParseLogin(text string) (cloud.Destination, error) {
	first, err := cloud.ParseDestination(text)
	if err == nil && first.Login() != "" {
		return first, nil
	}
	// A bucket is not needed to sign in; one is lent, and taken away again.
	for _, lent := range []string{":", ":-", "://-", "/-"} {
		d, other := cloud.ParseDestination(text + lent)
		if other == nil && d.Login() != "" {
			d.Path = ""
			return d, nil
		}
	}
	if err == nil {
		err = ErrUnknownProvider
	}
	return cloud.Destination{}, err
}
