//go:build !windows

package main

import (
	"os"
	"testing"

	"keepsake.example/cloud/rclone/servertest"
)

func TestShow(t *testing.T) {
	if os.Getenv("SHOW") == "" {
		return
	}
	g, w := newGoogle(t)
	_ = g
	t.Log(w.google("gdrive").out)
	p := w.sit("check", "gdrive:Keepsake")
	t.Log(p.ends(0))
	s := servertest.SSHD(t)
	t.Log(w.run("login", "sftp://root@"+s.Addr, "--key-file", s.Options["key_file"], "--known-hosts", s.Options["known_hosts_file"]))
	t.Log(w.run("check", "sftp://root@"+s.Addr+s.Folder).out)
	t.Log(w.run("list").out)
	t.Log(w.run("check", "s3://x/y").err)
	t.Log(w.run("check", "/tmp/xyzcheck").out)
	t.Log(w.run("check", "nobody:x").err)
	t.Log(w.run("login", "dropbox").err)
	t.Log(w.run("login", "webdav+http://127.0.0.1:1", "--user", "x", "--secret-file", "/etc/hostname").err)
	t.Log(w.run("login", "sftp://127.0.0.1:1").err)
	t.Log(w.run("login", "rclone:x:y").err)
	t.Log(w.run("login", "https://x").err)
	t.Log(w.run("logout", "gdrive").err)
	t.Log(w.run("logout", "gdrive", "--yes").out)
}
