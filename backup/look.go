package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"keepsake.example/cloud"
)

// A listing is what some folders hold, by folder: sorted by name, and each name once, whatever the store said twice.
type listing map[string][]cloud.Info

// listFolders lists several folders at the same time: over a network each listing is a round trip or more.
func listFolders(ctx context.Context, store cloud.Store, folders ...string) (listing, error) {
	lists := make([][]cloud.Info, len(folders))
	var list []func() error
	for i, folder := range folders {
		list = append(list, func() (err error) {
			lists[i], err = listFolder(ctx, store, folder)
			return err
		})
	}
	if err := together(list...); err != nil {
		return nil, err
	}
	l := make(listing)
	for i, folder := range folders {
		l[folder] = lists[i]
	}
	return l, nil
}

// listFolder lists one folder. Of a name that is there twice the longer counts: objects never change, so the other is cut.
func listFolder(ctx context.Context, store cloud.Store, folder string) (all []cloud.Info, err error) {
	err = store.List(ctx, folder, func(info cloud.Info) error {
		all = append(all, info)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b cloud.Info) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Size, a.Size)) })
	return slices.CompactFunc(all, func(a, b cloud.Info) bool { return a.Name == b.Name }), nil
}

func namesIn(list []cloud.Info) []string {
	names := make([]string, len(list))
	for i, info := range list {
		names[i] = info.Name
	}
	return names
}

func listNames(ctx context.Context, store cloud.Store, prefix string) ([]string, error) {
	list, err := listFolder(ctx, store, prefix)
	return namesIn(list), err
}

// putBytes stores an object under a name that was drawn for it, or that follows from its contents.
func putBytes(ctx context.Context, store cloud.Store, name string, object []byte) error {
	return putBody(ctx, store, name, bytes.NewReader(object), object)
}

// putBody stores object, which body reads. Names are drawn at random, so an object that is there already can only be this one: stored by a try whose
// answer was lost, after which some layer below tried again. That is not believed but looked at: the first bytes of an object
// hold its own salt and key commitment, which no other has.
func putBody(ctx context.Context, store cloud.Store, name string, body io.ReadSeeker, object []byte) error {
	err := store.Put(ctx, name, body, int64(len(object)))
	if !errors.Is(err, cloud.ErrExist) {
		return err
	}
	if same, look := isStored(ctx, store, name, object); look != nil {
		return fmt.Errorf("looking at what is there: %w", look)
	} else if !same {
		return err
	}
	return nil
}

// isStored reports whether the store has this object under name.
func isStored(ctx context.Context, store cloud.Store, name string, object []byte) (bool, error) {
	var info cloud.Info
	begin := make([]byte, min(stubSize, len(object)))
	err := together(func() (err error) {
		info, err = store.Stat(ctx, name)
		return err
	}, func() error {
		r, err := store.Get(ctx, name, 0, int64(len(begin)))
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadFull(r, begin)
		return err
	})
	if err != nil {
		return false, err
	}
	return info.Size == int64(len(object)) && bytes.Equal(begin, object[:len(begin)]), nil
}
