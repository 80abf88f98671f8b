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
// a kill leaves behind means nothing to anybody.
const tokenPrefix = "token-"

// A token is an object put into one store to see whether the other shows it. Two destinations may be one place under two names
// (localhost and 127.0.0.1, an alias of a host, a mount), and texts cannot tell: the copy would be none, and to delete the backup that a move
// left behind would delete the only one.
type token struct {
	from, to cloud.Store
	name     string
}

func putToken(ctx context.Context, from, to cloud.Store) (*token, error) {
	t := &token{from, to, tokenPrefix + newID().String()}
	if err := to.Put(ctx, t.name, strings.NewReader(t.name), int64(len(t.name))); err != nil {
		t.remove()
		return nil, fmt.Errorf("storing %s: %w", t.name, err)
	}
	return t, nil
}

// check fails with ErrSamePlace if the source shows the token. Where lookups lag it is asked again when all is copied.
func (t *token) check(ctx context.Context) error {
	_, err := t.from.Stat(ctx, t.name)
	switch {
	case err == nil:
		return ErrSamePlace
	case errors.Is(err, cloud.ErrNotExist):
		return nil
	}
	return fmt.Errorf("looking for %s: %w", t.name, err)
}

// remove works after the run was interrupted, for ten seconds.
func (t *token) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	t.to.Delete(ctx, t.name)
}
