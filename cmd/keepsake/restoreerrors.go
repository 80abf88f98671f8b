package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

// explain says of some errors of a restore more than the error knows.
func (f *restoreFlags) explain(err error) error {
	list := "keepsake snapshots"
	if f.cloud != "" {
		list += " --cloud DEST"
	}
	switch {
	case errors.Is(err, backup.ErrTargetNotEmpty):
		if begun := begunRestore(f.options.Target); begun != "" {
			return &failure{
				cli.Failed, plain(err),
				fmt.Sprintf("to go on with it: add --snapshot %.8s. For another snapshot choose an empty folder", begun),
			}
		}
	case errors.Is(err, backup.ErrNoSnapshot):
	case errors.Is(err, backup.ErrNotFound) && f.at != "" && f.options.Snapshot == "":
		return &failure{
			cli.NotFound,
			"no snapshot is as old as that: all were made after " + cli.Time(f.options.Time),
			"list them with: " + list,
		}
	}
	return err
}

// begunRestore is the id of the snapshot of which a restore into a folder was interrupted; "" if none was. It only
// goes into a hint.
func begunRestore(target string) string {
	var marker struct{ Snapshot string }
	b, err := os.ReadFile(filepath.Join(target, ".keepsake-restore", "restore.json"))
	if err != nil || json.Unmarshal(b, &marker) != nil || strings.Trim(marker.Snapshot, "0123456789abcdef") != "" {
		return ""
	}
	return marker.Snapshot
}

// unmatched is the failure of a restore whose patterns chose nothing. Of others that matched nothing it says so: a slip
// in one of several is not seen by what the others brought.
func (a *app) unmatched(r *backup.RestoreResult, o client.RestoreOptions) error {
	if len(o.Include) > 0 && r.Files+r.Skipped+r.Same+r.Links == 0 {
		return &failure{
			cli.NotFound, "no file of the snapshot matches " + flagged("--include", o.Include),
			"how patterns are written: keepsake help patterns. Capital and small letters differ",
		}
	}
	if len(r.IdleInclude) > 0 {
		a.msg.Warning("no file of the snapshot matches %s", flagged("--include", r.IdleInclude))
	}
	if len(r.IdleExclude) > 0 {
		a.msg.Warning("no file of the snapshot matches %s: nothing was left out for it", flagged("--exclude", r.IdleExclude))
	}
	return nil
}

// flagged gives patterns as they are typed.
func flagged(name string, patterns []string) string {
	var list []string
	for _, p := range patterns {
		list = append(list, fmt.Sprintf("%s %q", name, p))
	}
	return strings.Join(list, " ")
}
