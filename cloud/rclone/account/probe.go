package account

import (
	"context"
	"errors"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"

	"keepsake.example/cloud/rclone"
)

// probe asks the provider for a listing of the destination; that there is no
// such folder yet is an answer.
func probe(ctx context.Context, c rclone.Config) error {
	info, err := fs.Find(c.Backend)
	if err != nil {
		return err
	}
	m := configmap.New().
		AddGetter(configmap.Simple(c.Options), configmap.PriorityNormal).
		AddGetter(defaults{info}, configmap.PriorityDefault).
		AddSetter(configmap.Simple(c.Options))
	f, err := info.NewFs(ctx, "keepsake-login", c.Root, m)
	if err != nil && !errors.Is(err, fs.ErrorIsFile) {
		return classify(c.Login, err)
	}
	_, err = f.List(ctx, "")
	if s := f.Features().Shutdown; s != nil {
		s(ctx)
	}
	if errors.Is(err, fs.ErrorDirNotFound) {
		return nil
	}
	return classify(c.Login, err)
}

func classify(_ string, err error) error { return err }
