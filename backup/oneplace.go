package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"keepsake.example/cloud"
)

// tokenPrefix begins the name of the object that tells two stores apart. It lies in no folder, where no part of a repository does: one that
// a kill leaves behind means nothing to anybody, and goes with the next copy.
const tokenPrefix = "token-"

// tokenTries is how often a token is put again that another copy took for one left behind.
const tokenTries = 3

// A token is an object put into one store to see whether the other shows it. Two destinations may be one place under two names
// (localhost and 127.0.0.1, an alias of a host, a mount), and texts cannot tell: the copy would be none, and to delete the backup that a move
// left behind would delete the only one.
type token struct {
	from, to cloud.Store
	name     string
}

func putToken(ctx context.Context, from, to cloud.Store) (*token, error) {
	t := &token{from: from, to: to}
	if err := t.put(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *token) put(ctx context.Context) error {
	t.name = tokenPrefix + newID().String()
	if err := t.to.Put(ctx, t.name, strings.NewReader(t.name), int64(len(t.name))); err != nil {
		t.remove()
		return fmt.Errorf("storing %s: %w", t.name, err)
	}
	return nil
}

// sweep removes tokens that copies left behind which were killed. One of a copy that runs is put again by it.
func (t *token) sweep(ctx context.Context) error {
	var left []string
	err := t.to.List(ctx, tokenPrefix, func(info cloud.Info) error {
		if info.Name != t.name {
			left = append(left, info.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for what copies left behind: %w", err)
	}
	for _, name := range left {
		t.to.Delete(ctx, name) // who may not delete here can copy all the same
	}
	return ctx.Err()
}

// check fails with ErrSamePlace if the source shows the token. Where lookups lag it is asked again when all is copied. What the source
// does not show proves something only while the token is at the destination.
func (t *token) check(ctx context.Context) error {
	for range tokenTries {
		_, err := t.from.Stat(ctx, t.name)
		switch {
		case err == nil:
			return ErrSamePlace
		case !errors.Is(err, cloud.ErrNotExist):
			return fmt.Errorf("looking for %s: %w", t.name, err)
		}
		_, err = t.to.Stat(ctx, t.name)
		if err == nil {
			return nil
		}
		if !errors.Is(err, cloud.ErrNotExist) {
			return fmt.Errorf("looking for %s: %w", t.name, err)
		}
		if err := t.put(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: another copy to the same place is under way", ErrLocked)
}

// remove works after the run was interrupted, for ten seconds.
func (t *token) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	t.to.Delete(ctx, t.name)
}
