package cloud_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"keepsake.example/cloud"
)

var destinations = []struct {
	text  string
	want  cloud.Destination
	print string // "" for text itself
	login string
}{
	{"/media/disk/b", cloud.Destination{Kind: "path", Path: "/media/disk/b"}, "", ""},
	{"relative/b", cloud.Destination{Kind: "path", Path: "relative/b"}, "", ""},
	{"b", cloud.Destination{Kind: "path", Path: "b"}, "", ""},
	{"./a:b", cloud.Destination{Kind: "path", Path: "./a:b"}, "", ""},
	{`C:\Backup`, cloud.Destination{Kind: "path", Path: `C:\Backup`}, "", ""},
	{"c:/Backup", cloud.Destination{Kind: "path", Path: "c:/Backup"}, "", ""},
	{`\\server\share:x`, cloud.Destination{Kind: "path", Path: `\\server\share:x`}, "", ""},
	{"gdrive:Folder/Sub", cloud.Destination{Kind: "gdrive", Path: "Folder/Sub"}, "", "gdrive"},
	{"GDrive:/Folder//Sub/", cloud.Destination{Kind: "gdrive", Path: "Folder/Sub"}, "gdrive:Folder/Sub", "gdrive"},
	{"gdrive://Folder", cloud.Destination{Kind: "gdrive", Path: "Folder"}, "gdrive:Folder", "gdrive"},
	{"gdrive@work:Folder?", cloud.Destination{Kind: "gdrive", Account: "work", Path: "Folder?"}, "", "gdrive@work"},
	{"icloud:Keepsake: mine", cloud.Destination{Kind: "icloud", Path: "Keepsake: mine"}, "", "icloud"},
	{"dropbox:", cloud.Destination{Kind: "dropbox"}, "", "dropbox"},
	{"onedrive:a", cloud.Destination{Kind: "onedrive", Path: "a"}, "", "onedrive"},
	{"b2:bucket/prefix", cloud.Destination{Kind: "b2", Path: "bucket/prefix"}, "", "b2"},
	{"s3://bucket/prefix/", cloud.Destination{Kind: "s3", Path: "bucket/prefix"}, "s3://bucket/prefix", "s3"},
	{"s3@home://bucket", cloud.Destination{Kind: "s3", Account: "home", Path: "bucket"}, "", "s3@home"},
	{"s3+https://s3.example:443/bucket/%41", cloud.Destination{Kind: "s3", Host: "s3.example", Path: "bucket/%41"}, "s3+https://s3.example/bucket/%41", "s3+https://s3.example"},
	{"s3+https@a-b://S3.Example:9000/bucket", cloud.Destination{Kind: "s3", Account: "a-b", Host: "s3.example:9000", Path: "bucket"}, "s3+https@a-b://s3.example:9000/bucket", "s3+https@a-b://s3.example:9000"},
	{"s3+http://127.0.0.1:9000/bucket", cloud.Destination{Kind: "s3", Host: "127.0.0.1:9000", Plain: true, Path: "bucket"}, "", "s3+http://127.0.0.1:9000"},
	{"s3+http://[::1]:9000/bucket", cloud.Destination{Kind: "s3", Host: "[::1]:9000", Plain: true, Path: "bucket"}, "", "s3+http://[::1]:9000"},
	{"webdav+https://cloud.example/dav/My%20files", cloud.Destination{Kind: "webdav", Host: "cloud.example", Path: "dav/My files"}, "", "webdav+https://cloud.example"},
	{"webdav+https://me@cloud.example", cloud.Destination{Kind: "webdav", Host: "cloud.example", User: "me"}, "webdav+https://me@cloud.example/", "webdav+https://me@cloud.example"},
	{"webdav+http://localhost:80/x%2525", cloud.Destination{Kind: "webdav", Host: "localhost", Plain: true, Path: "x%25"}, "webdav+http://localhost/x%2525", "webdav+http://localhost"},
	{"sftp://me@host:22/srv/b", cloud.Destination{Kind: "sftp", Host: "host", User: "me", Path: "/srv/b"}, "sftp://me@host/srv/b", "sftp://me@host"},
	{"sftp://host:2222/~/b/c", cloud.Destination{Kind: "sftp", Host: "host:2222", Path: "b/c"}, "", "sftp://host:2222"},
	{"sftp://host/~", cloud.Destination{Kind: "sftp", Host: "host"}, "", "sftp://host"},
	{"sftp://host//~/x", cloud.Destination{Kind: "sftp", Host: "host", Path: "/~/x"}, "", "sftp://host"},
	{"sftp://host", cloud.Destination{Kind: "sftp", Host: "host", Path: "/"}, "sftp://host/", "sftp://host"},
	{"sftp://a@b.example@host/x", cloud.Destination{Kind: "sftp", Host: "host", User: "a@b.example", Path: "/x"}, "", "sftp://a@b.example@host"},
	{"rclone:my remote:path/x", cloud.Destination{Kind: "rclone", Remote: "my remote", Path: "path/x"}, "", ""},
	{"MyRemote:path", cloud.Destination{Kind: "rclone", Remote: "MyRemote", Path: "path"}, "rclone:MyRemote:path", ""},
	{"rclone:gdrive:", cloud.Destination{Kind: "rclone", Remote: "gdrive"}, "", ""},
	{"disk:/media//b/", cloud.Destination{Kind: "rclone", Remote: "disk", Path: "/media/b"}, "rclone:disk:/media/b", ""},
}

func TestParseDestination(t *testing.T) {
	for _, tt := range destinations {
		got, err := cloud.ParseDestination(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseDestination(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
			continue
		}
		print := tt.print
		if print == "" {
			print = tt.text
		}
		if got.String() != print || got.Login() != tt.login || got.Network() != (got.Kind != "path") {
			t.Errorf("%q is printed as %q with login %q; want %q with %q", tt.text, got.String(), got.Login(), print, tt.login)
		}
	}
}

func TestParseDestinationRefuses(t *testing.T) {
	for text, part := range map[string]string{
		"":                                    "empty",
		"a\x00b":                              "zero byte",
		"gdrive:a\nb":                         "control character",
		"gdrive:\xff":                         "UTF-8",
		"gdrive:" + strings.Repeat("a", 3000): "longer than",
		"gdrive@:x":                           "name of an account",
		"gdrive@a b:x":                        "name of an account",
		"gdrive:a/../b":                       ". and ..",
		"b2:":                                 "bucket",
		"s3://":                               "bucket",
		"s3:bucket":                           "two slashes",
		"sftp:host":                           "two slashes",
		"s3+https://key@host/bucket":          "access key",
		"s3+https://key:hunter2@host/bucket":  "password",
		"sftp://me:hunter2@host/x":            "password",
		"webdav+https://me:hunter2@host/x":    "password",
		"webdav+https://host/x?token=hunter2": "? and #",
		"s3://bucket/x?key=hunter2":           "? and #",
		"webdav+https://host/%zz":             "percent-encoded",
		"webdav+https://host/%00":             "percent-encoded",
		"webdav+https@work://host/x":          "told apart by the user",
		"webdav+http://cloud.example/x":       "without TLS",
		"s3+http://10.0.0.1/bucket":           "without TLS",
		"s3+http://127.0.0.1.example/bucket":  "without TLS",
		"webdav+https:///x":                   "host is missing",
		"webdav+https://host:0/x":             "host is missing",
		"sftp://me me@host/x":                 "the user",
		"https://cloud.example/dav":           "does not say what the server speaks",
		"webdav://cloud.example/dav":          "does not say what the server speaks",
		"ftp://host/x":                        "no known kind",
		"rclone:remote":                       "colon",
		"rclone::s3,secret=hunter2:x":         "no name that a remote",
		":s3,secret_access_key=hunter2:x":     "no name that a remote",
		"remote,pass=hunter2:x":               "no name that a remote",
	} {
		d, err := cloud.ParseDestination(text)
		e, ok := errors.AsType[*cloud.DestinationError](err)
		if !ok || !strings.Contains(e.Problem, part) {
			t.Errorf("ParseDestination(%q) = %+v, %v; want an error with %q", text, d, err, part)
			continue
		}
		if strings.Contains(e.Error()+e.Hint, "hunter2") {
			t.Errorf("the error of %q shows the secret", text)
		}
	}
}

// What is kept in a profile is read again as the same place.
func FuzzParseDestination(f *testing.F) {
	for _, tt := range destinations {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := cloud.ParseDestination(text)
		if err != nil {
			if !errors.As(err, new(*cloud.DestinationError)) {
				t.Fatalf("%q: %v is no DestinationError", text, err)
			}
			return
		}
		again, err := cloud.ParseDestination(d.String())
		if err != nil || again != d {
			t.Fatalf("%q: %+v is printed as %q and read as %+v, %v", text, d, d.String(), again, err)
		}
		if d.Network() && (strings.ContainsFunc(d.String(), unicode.IsControl) || strings.Contains(d.User, ":")) {
			t.Fatalf("%q: %q", text, d.String())
		}
	})
}
