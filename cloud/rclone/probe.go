package rclone

import (
	"context"
	"errors"
	"fmt"

	"github.com/rclone/rclone/fs"
)

// Configure sets what rclone keeps once for a process, in place of what
// RCLONE_ variables of the environment say. Open and Probe do so; who uses
// rclone in another way, to sign in, calls it first.
func Configure(n Network) error {
	if err := configure(n); err != nil {
		return fmt.Errorf("cloud/rclone: %w", err)
	}
	return nil
}

// Probe asks the cloud for one listing of the root, to see whether it can be
// reached and lets us in: nil when it answers, also that there is no such folder.
// Nothing is made or changed there.
func Probe(ctx context.Context, c Config) error {
	k, ok := kinds[c.Backend]
	if !ok {
		return fmt.Errorf("cloud/rclone: there is no back end %q", c.Backend)
	}
	if err := Configure(c.Network); err != nil {
		return err
	}
	s := &Store{config: c, kind: k, known: newKnown(k.traits.Lag), requestsBefore: requests()}
	f, err := s.connect(ctx)
	if err != nil {
		return s.classify(ctx, err)
	}
	s.f = f
	defer s.Close()
	bounded, stop := held(ctx)
	defer stop()
	_, err = await(bounded, func() (fs.DirEntries, error) { return list(bounded, f, "", false) }, nil)
	err = because(bounded, err)
	if errors.Is(err, fs.ErrorDirNotFound) {
		return nil
	}
	return s.classify(ctx, err)
}

// Classify gives an error of one of rclone's back ends, or of its ways to sign
// in, the kind of package cloud it amounts to. login is Config.Login, for its text.
func Classify(ctx context.Context, login string, err error) error {
	return (&Store{config: Config{Login: login}}).classify(ctx, err)
}
