package client

import (
	"context"
	"io/fs"
	"path/filepath"

	"keepsake.example/backup"
)

// tellLinks says how many links lead out of the chat folder. They are backed up as links, and a
// person who moved her media to a larger disk, and linked them, believes them in the backup.
func (c *Client) tellLinks(ctx context.Context, source string, s backup.Snapshot) {
	if s.Links == 0 {
		return
	}
	first, n := leadingOut(ctx, source)
	switch n = min(n, s.Links); { // those left out by a pattern are none of the snapshot's
	case n == 1:
		c.warn("the link %q leads out of the chat folder: what it leads to is not backed up", first)
	case n > 1:
		c.warn("%d links, such as %q, lead out of the chat folder: what they lead to is not backed up", n, first)
	}
}

// leadingOut counts the links below a folder that lead to something outside. What cannot be
// looked at does not count: the backup itself says what it could not read.
func leadingOut(ctx context.Context, source string) (first string, n int) {
	top := resolve(source)
	filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 || path == source {
			return ctx.Err()
		}
		to, err := filepath.EvalSymlinks(path)
		if err != nil || within(absolute(to), top) {
			return ctx.Err() // it leads nowhere, or to what is backed up by itself
		}
		if n++; n == 1 {
			first, _ = filepath.Rel(source, path)
		}
		return nil
	})
	return first, n
}
