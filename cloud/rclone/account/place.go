package account

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
)

// Config is what a store of the destination is opened with. The Mapper in it
// reads and writes the account. ErrNotLoggedIn says that one must be made first.
// A folder of this computer and a remote of rclone need none.
func (a *Accounts) Config(ctx context.Context, d cloud.Destination) (rclone.Config, error) {
	switch d.Kind {
	case cloud.KindPath:
		return rclone.Config{Backend: "local", Root: d.Path}, nil
	case cloud.KindRclone:
		return remote(d)
	}
	if _, ok := providerOf(d.Kind); !ok {
		return rclone.Config{}, ErrUnknownProvider
	}
	login := d.Login()
	m, e, err := a.mapper(login, nil)
	if err != nil {
		return rclone.Config{}, fmt.Errorf("signing in to %s: %w", login, err)
	}
	extra, root := place(d, e.options)
	m.extra = extra
	return rclone.Config{Backend: e.Backend, Root: root, Mapper: m, Login: login}, nil
}

// remote is a remote of the person's own rclone.
func remote(d cloud.Destination) (rclone.Config, error) {
	c, err := rclone.FromRemote(d.Remote, d.Path)
	if errors.Is(err, cloud.ErrNotExist) {
		return c, fmt.Errorf("%w: rclone has no remote %q", ErrUnknownProvider, d.Remote)
	}
	return c, err
}

// davRoot is the part of a Nextcloud's or ownCloud's address that rclone wants in
// the URL, so that it can find the place for uploads in pieces beside it.
var davRoot = regexp.MustCompile(`\A(?:.*/)?dav/files/[^/]+`)

// place says where a destination is: options that come from its text and not from
// the account, and the root below them.
func place(d cloud.Destination, options map[string]string) (extra map[string]string, root string) {
	if d.Kind != cloud.KindWebDAV {
		return nil, d.Path
	}
	base := davRoot.FindString(d.Path)
	scheme := map[bool]string{true: "http", false: "https"}[d.Plain]
	u := url.URL{Scheme: scheme, Host: d.Host, Path: "/" + base}
	return map[string]string{"url": u.String()}, strings.TrimPrefix(strings.TrimPrefix(d.Path, base), "/")
}
