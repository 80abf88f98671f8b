package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/internal/cli"
)

func (a *app) inspectCommand() *cobra.Command {
	var destination string
	cmd := &cobra.Command{
		Use:   "inspect OBJECT",
		Short: "explain an object of a backup, without the key",
		Long: `Explains one object of a backup without the key: what it is, to which backup it
belongs, how it is encrypted, and whether its outer form is right. It cannot say
what is inside. OBJECT is the path of a file, or with --cloud a name such as
verify prints.`,
		Example: `  keepsake inspect /media/disk/chats-backup/data/00ff…
  keepsake inspect data/00ff… --cloud /media/disk/chats-backup`,
		Args: exactly("OBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), args[0], destination) },
	}
	flag(cmd, "cloud", &destination)
	return cmd
}

func (a *app) inspect(ctx context.Context, object, destination string) error {
	var e *backup.Explanation
	var err error
	if destination != "" {
		e, err = inspectStored(ctx, object, destination)
	} else {
		e, err = inspectFile(object)
	}
	if err != nil {
		return err
	}
	return a.emit(e, func(w io.Writer) { writeExplanation(w, e) })
}

// inspectFile takes a file for the object that its path ends with: the folder is
// part of the name.
func inspectFile(path string) (*backup.Explanation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, usage(cli.Name(path)+" is not a file", "give one object: a file in one of its folders")
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	name := filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
	return backup.Inspect(name, f, info.Size())
}

func inspectStored(ctx context.Context, name, destination string) (*backup.Explanation, error) {
	store, err := dir.Open(destination)
	if err != nil {
		return nil, err
	}
	info, err := store.Stat(ctx, name)
	if errors.Is(err, cloud.ErrNotExist) {
		return nil, &failure{cli.NotFound, "there is no object " + cli.Name(name), "names are such as verify prints"}
	}
	if err != nil {
		return nil, err
	}
	return backup.Inspect(name, objectAt{ctx, store, name}, info.Size)
}

// objectAt reads an object of a store at any place.
type objectAt struct {
	ctx   context.Context
	store cloud.Store
	name  string
}

func (o objectAt) ReadAt(p []byte, off int64) (int, error) {
	r, err := o.store.Get(o.ctx, o.name, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, int64(len(p))))
	copy(p, b.Bytes())
	if err == nil && int(n) < len(p) {
		err = io.EOF
	}
	return int(n), err
}

func writeExplanation(w io.Writer, e *backup.Explanation) {
	t := cli.NewTable("", "")
	row := func(name, value string) {
		if value != "" {
			t.Row(name, value)
		}
	}
	row("kind", e.Kind)
	row("format", fmt.Sprintf("version %d", e.Version))
	row("backup", e.RepositoryID)
	row("object", e.ObjectID)
	row("data key", fmt.Sprintf("number %d", e.KeyNumber))
	row("size", sizeLine(e.Size))
	row("inside", sizeLine(e.PlaintextSize))
	row("segments", cli.Count(e.Segments))
	row("salt", e.Salt)
	row("commitment", e.Commitment)
	t.Write(w)
	for _, note := range e.Notes {
		fmt.Fprintln(w, note)
	}
}

func sizeLine(n int64) string { return fmt.Sprintf("%s bytes (%s)", cli.Count(n), cli.Size(n)) }
