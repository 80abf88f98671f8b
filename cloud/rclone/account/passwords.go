package account

import (
	"context"
	"errors"
	"strings"

	"github.com/rclone/rclone/fs/config/configmap"
)

const icloudText = `Apple will show a code on your devices. The sign-in holds for about 30 days; then a backup
fails, says so, and you sign in again. The password is kept on this device to renew the
session in between: an app-specific password does not work for iCloud Drive.

`

// icloud signs in with the Apple ID, its password and the code of the second
// factor.
func (f *flow) icloud(ctx context.Context) (err error) {
	f.Tell(icloudText)
	if f.options["apple_id"], err = f.user(ctx, "Apple ID (an e-mail address): ", ""); err != nil {
		return err
	}
	f.options["service"] = "drive"
	for try := 1; ; try++ {
		s, err := f.secret(ctx, "Its password: ")
		if err != nil {
			return err
		}
		if err := f.takePassword("password")(s.reveal()); err != nil {
			return err
		}
		given := !f.Secret.Empty()
		s.Wipe()
		err = f.configure(ctx, configmap.Simple{})
		if again := errors.Is(err, ErrWrongSecret) && !errors.Is(err, errCode) && !given && try < maxTries; !again {
			delete(f.options, "_auth_session")
			f.tried = err == nil
			return err
		}
		f.Tell("That is not accepted. Once more:\n")
	}
}

// webdav signs in with user and password, and tries them.
func (f *flow) webdav(ctx context.Context) (err error) {
	if f.User == "" {
		f.User = f.Destination.User
	}
	if f.options["user"], err = f.user(ctx, "User: ", ""); err != nil {
		return err
	}
	f.options["vendor"] = f.Vendor
	if f.Vendor == "" {
		f.options["vendor"] = davVendor(f.Destination.Host, f.Destination.Path)
	}
	if f.options["vendor"] == "nextcloud" {
		f.Tell("Make an app password for this (Nextcloud: Settings, Security): it can be taken back alone.\n")
	}
	return f.tries(ctx, "Password: ", f.takePassword("pass"))
}

// davVendor guesses what the server is, for what it can do beyond the standard.
func davVendor(host, path string) string {
	switch {
	case strings.Contains(path, "remote.php/dav/files/"):
		return "nextcloud"
	case strings.Contains(path, "remote.php/webdav"):
		return "owncloud"
	case strings.HasSuffix(host, "fastmail.com"):
		return "fastmail"
	}
	return "other"
}

const b2Text = `Make an application key for one bucket, with read and write (secure.backblaze.com, Application
Keys): the master key opens the whole account.

`

// b2 signs in with an application key.
func (f *flow) b2(ctx context.Context) (err error) {
	f.Tell(b2Text)
	if f.options["account"], err = f.user(ctx, "keyID: ", ""); err != nil {
		return err
	}
	return f.tries(ctx, "applicationKey: ", func(secret string) error {
		f.options["key"] = secret
		return nil
	})
}

const s3Text = `Make an access key for one bucket only, with the right to list, read, write and delete in it:
a key of the whole account opens the whole account.

`

// s3 signs in with an access key, or with what the environment has at each use.
func (f *flow) s3(ctx context.Context) (err error) {
	host := f.Destination.Host
	f.options["provider"] = f.Vendor
	if f.Vendor == "" {
		f.options["provider"] = s3Vendor(host)
	}
	if f.options["region"] = f.Region; f.Region == "" {
		delete(f.options, "region")
	}
	if host != "" {
		scheme := map[bool]string{true: "http", false: "https"}[f.Destination.Plain]
		f.options["endpoint"] = scheme + "://" + host
	} else if f.Region == "" {
		if err := f.askRegion(ctx); err != nil {
			return err
		}
	}
	if f.FromEnvironment {
		f.options["env_auth"] = "true"
		return f.try(ctx)
	}
	f.Tell(s3Text)
	if f.options["access_key_id"], err = f.user(ctx, "Access key id: ", ""); err != nil {
		return err
	}
	return f.tries(ctx, "Secret access key: ", func(secret string) error {
		f.options["secret_access_key"] = secret
		return nil
	})
}

func (f *flow) askRegion(ctx context.Context) error {
	region, err := f.Ask(ctx, "Region of the bucket (empty for us-east-1): ")
	if err != nil {
		return err
	}
	if region == "" {
		region = "us-east-1"
	}
	f.options["region"] = region
	return nil
}

// s3Vendors are what rclone calls those of whom it knows more than that they
// speak S3, by the end of their servers' names.
var s3Vendors = []struct{ host, name string }{
	{".amazonaws.com", "AWS"},
	{".r2.cloudflarestorage.com", "Cloudflare"},
	{".wasabisys.com", "Wasabi"},
	{".digitaloceanspaces.com", "DigitalOcean"},
	{".your-objectstorage.com", "Hetzner"},
	{".scw.cloud", "Scaleway"},
	{".idrivee2.com", "IDrive"},
	{".storage.googleapis.com", "GCS"},
}

func s3Vendor(host string) string {
	if host == "" {
		return "AWS"
	}
	for _, v := range s3Vendors {
		if strings.HasSuffix("."+host, v.host) {
			return v.name
		}
	}
	return "Other"
}
