package main

import (
	"os"
	"os/exec"
	"strings"
)

// step is one thing that every tool is asked to do.
type step string

const (
	first   step = "first backup"
	again   step = "nothing changed"
	day2    step = "day 2"
	verify  step = "verify"
	restore step = "restore"
)

// tool is a way to keep a copy of a folder. Its lines are run by bash with SRC, the folder; STORE, an
// empty folder of its own; OUT, an empty folder to restore into.
type tool struct {
	id      string
	name    string // for the table
	program string // left out of the comparison where this cannot be found
	version string // line that prints it
	floor   bool   // no backup tool: what the machine can do at best
	init    string // line run once, untimed
	backup  string // line for every backup
	wholly  bool   // copies everything each time: of an unchanged folder it would do the first backup again
	verify  string
	restore string
	tree    string // where in OUT the copy of SRC is
	env     []string
}

func (t tool) line(s step) string {
	switch s {
	case first:
		return t.backup
	case again:
		if t.floor || t.wholly {
			return ""
		}
		return t.backup
	case day2:
		if t.floor && !t.wholly {
			return ""
		}
		return t.backup
	case verify:
		return t.verify
	}
	return t.restore
}

func (t tool) environment(src, store, out string, more ...string) []string {
	env := append([]string{"SRC=" + src, "STORE=" + store, "OUT=" + out}, more...)
	for _, e := range t.env {
		env = append(env, os.Expand(e, lookup(env)))
	}
	return env
}

// lookup gives os.Expand the values of an environment.
func lookup(env []string) func(string) string {
	return func(name string) string {
		for _, e := range env {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value
			}
		}
		return os.Getenv(name)
	}
}

var kopiaEnv = []string{
	"KOPIA_PASSWORD=bench", "KOPIA_CONFIG_PATH=$STORE.config", "KOPIA_CACHE_DIRECTORY=$STORE.cache",
	"KOPIA_LOG_DIR=$STORE.log", "KOPIA_CHECK_FOR_UPDATES=false",
}

const kopiaInit = `kopia repository create filesystem --path "$STORE" --cache-directory "$STORE.cache"`

// tools are all that are compared, each with its own defaults except where its name says otherwise.
var tools = []tool{
	{id: "read", name: "read every file", program: "cat", floor: true, backup: `find "$SRC" -type f -exec cat {} + >/dev/null`},
	{id: "cat", name: "`cat` of all files into one file", program: "cat", floor: true, backup: `find "$SRC" -type f -exec cat {} + >"$STORE/all"`},
	{id: "cp", name: "`cp -r`", program: "cp", floor: true, backup: `cp -r --reflink=never "$SRC" "$STORE/copy"`},
	{
		id: "tar", name: "plain tar to disk", program: "tar", version: "tar --version", floor: true, wholly: true,
		backup: `tar -C "$SRC" -cf "$STORE/all.tar" .`, verify: `tar -tf "$STORE/all.tar" >/dev/null`,
		restore: `tar -C "$OUT" -xf "$STORE/all.tar"`, tree: "$OUT",
	},
	{
		id: "age", name: "tar piped into age", program: "age", version: "age --version", wholly: true,
		init:    `age-keygen -o "$STORE.key"`,
		backup:  `tar -C "$SRC" -cf - . | age -e -i "$STORE.key" >"$STORE/all.age"`,
		verify:  `age -d -i "$STORE.key" "$STORE/all.age" >/dev/null`,
		restore: `age -d -i "$STORE.key" "$STORE/all.age" | tar -C "$OUT" -xf -`, tree: "$OUT",
	},
	{
		id: "restic", name: "restic (zstd)", program: "restic", version: "restic version",
		env:    []string{"RESTIC_REPOSITORY=$STORE", "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=$STORE.cache"},
		init:   "restic init --repository-version 2",
		backup: `restic backup "$SRC"`, verify: "restic check --read-data",
		restore: `restic restore latest --target "$OUT"`, tree: "$OUT$SRC",
	},
	{
		id: "kopia", name: "kopia (default)", program: "kopia", version: "kopia --version", env: kopiaEnv,
		init:   kopiaInit,
		backup: `kopia snapshot create "$SRC"`, verify: "kopia snapshot verify --verify-files-percent=100",
		restore: `kopia snapshot restore "$SRC" "$OUT/tree"`, tree: "$OUT/tree",
	},
	{
		id: "kopia-zstd", name: "kopia (zstd)", program: "kopia", env: kopiaEnv,
		init:   kopiaInit + " && kopia policy set --global --compression=zstd",
		backup: `kopia snapshot create "$SRC"`, verify: "kopia snapshot verify --verify-files-percent=100",
		restore: `kopia snapshot restore "$SRC" "$OUT/tree"`, tree: "$OUT/tree",
	},
	{
		id: "borg", name: "borg (lz4)", program: "borg", version: "borg --version",
		env:    []string{"BORG_PASSPHRASE=bench", "BORG_BASE_DIR=$STORE.base"},
		init:   `borg init -e repokey "$STORE"`,
		backup: `borg create "$STORE::{utcnow:%s%f}" "$SRC"`, verify: `borg check --verify-data "$STORE"`,
		restore: `cd "$OUT" && borg extract "$STORE::$(borg list --last 1 --short "$STORE")"`, tree: "$OUT$SRC",
	},
	{
		id: "keepsake", name: "**keepsake**", program: "keepsake",
		init:   `keepsake --profile "$STORE.profile" enable "$SRC" --cloud "$STORE" --key-out "$STORE.key"`,
		backup: `keepsake --profile "$STORE.profile" backup`, verify: `keepsake --profile "$STORE.profile" verify --read-data`,
		// A new phone: an empty profile, the key and the cloud folder.
		restore: `keepsake --profile "$STORE.newphone" restore "$OUT" --cloud "$STORE" --key-file "$STORE.key"`, tree: "$OUT",
	},
}

// available are those that this machine has.
func available(all []tool) []tool {
	var have []tool
	for _, t := range all {
		if _, err := exec.LookPath(t.program); err == nil {
			have = append(have, t)
		}
	}
	return have
}
