package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
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
	e, err := a.explainObject(ctx, object, destination)
	if errors.Is(err, cloud.ErrNotExist) {
		return &failure{cli.NotFound, "there is no object " + cli.Name(object), "names are such as verify prints"}
	}
	if err != nil {
		return err
	}
	return a.emit(e, func(w io.Writer) { writeExplanation(w, e) })
}

func (a *app) explainObject(ctx context.Context, object, destination string) (*backup.Explanation, error) {
	if destination != "" {
		return a.client().Inspect(ctx, destination, object)
	}
	if info, err := os.Stat(object); err == nil && !info.Mode().IsRegular() {
		return nil, usage(cli.Name(object)+" is not a file", "give one object: a file in one of its folders")
	}
	return client.InspectFile(object)
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
