package backup_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A panickingStore panics with a secret at one call, and at all after it.
type panickingStore struct {
	cloud.Store
	left atomic.Int64
}

const panicSecret = "0123456789abcdef0123456789abcdef"

func (s *panickingStore) call() {
	if s.left.Add(-1) < 0 {
		panic(panicSecret)
	}
}

func (s *panickingStore) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	s.call()
	return s.Store.Put(ctx, name, body, size)
}

func (s *panickingStore) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.call()
	return s.Store.Get(ctx, name, offset, length)
}

func (s *panickingStore) Delete(ctx context.Context, name string) error {
	s.call()
	return s.Store.Delete(ctx, name)
}

func (s *panickingStore) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	s.call()
	return s.Store.List(ctx, prefix, fn)
}

// Wherever a panic comes from, it ends as an error that says where and not what with: no goroutine takes the process down, and nobody waits
// for one that is gone, or goes on: a lock that is renewed for ever locks the other devices out. What is in the cloud then is as after a kill.
func TestPanicsEndAsErrors(t *testing.T) {
	smallPacks(t)
	p := newPhone(t)
	p.days(3)
	start, mark := p.contents(), p.mark
	p.write("new", make([]byte, 200_000))
	p.sql("db", "UPDATE m SET t='once more'")
	p.cache = ""
	other := 0
	for what, run := range map[string]func(r *backup.Repo) error{
		"backup": func(r *backup.Repo) error {
			_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats, Reread: true})
			return err
		},
		"prune": func(r *backup.Repo) error {
			_, err := r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0})
			return err
		},
		"restore": func(r *backup.Repo) error {
			_, err := r.Restore(t.Context(), backup.RestoreOptions{Snapshot: r.Snapshots()[0].ID, Target: filepath.Join(t.TempDir(), "r")})
			return err
		},
		"verify": func(r *backup.Repo) error {
			_, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: 1})
			return err
		},
	} {
		for n := int64(0); ; n += 1 + n/40*9 {
			p.setCloud(start)
			p.mark = mark
			s := &panickingStore{Store: p.store}
			s.left.Store(1 << 30)
			r, err := backup.Open(t.Context(), s, p.key, p.options())
			must(t, err)
			s.left.Store(n)
			err = backup.Guard(func() error { return run(r) })
			if s.left.Load() >= 0 && err == nil {
				break // it needs no more calls than that
			}
			var internal *backup.InternalError
			if !errors.As(err, &internal) || !errors.Is(err, backup.ErrInternal) || internal.Type != "string" || !strings.Contains(internal.Where, "keepsake.example/") {
				other++ // what follows from a panic elsewhere may come first
				t.Logf("%s, call %d: %v", what, n, err)
			}
			if strings.Contains(fmt.Sprintf("%+v %#v", err, err), panicSecret) {
				t.Errorf("%s, call %d: the error tells what was panicked with: %v", what, n, err)
			}
			(&step{t: t}).noGoroutines(func() string { return fmt.Sprintf("%s, call %d", what, n) })
			if n == 0 || n > 12 {
				p.mark = backup.Mark{}
				if v := p.verify(0); len(v.Damage) > 0 {
					t.Errorf("%s, call %d: %v", what, n, v.Damage[0])
				}
			}
		}
	}
	if other > 0 {
		t.Errorf("%d panics ended otherwise", other)
	}
}

// A caller's function that panics, in the goroutine that tells of progress.
func TestPanicInProgress(t *testing.T) {
	p := newPhone(t)
	p.write("f", make([]byte, 1<<20))
	o := p.options()
	o.Progress = func(backup.Progress) { panic(panicSecret) }
	r, err := backup.Open(t.Context(), p.store, p.key, o)
	must(t, err)
	defer r.Close()
	_, err = r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	must(t, err)
}

// Every goroutine of the package is one that Guard watches. It looks at the sources, so that a new one cannot be forgotten.
func TestEveryGoroutineIsGuarded(t *testing.T) {
	files := token.NewFileSet()
	found := 0
	paths, err := filepath.Glob("*.go")
	must(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, path, nil, 0)
		must(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			var started ast.Expr
			switch n := n.(type) {
			case *ast.GoStmt:
				started = n.Call
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && len(n.Args) == 1 {
					started = n.Args[0]
				}
			}
			if started != nil {
				found++
				if !isGuarded(started) {
					t.Errorf("%s: a goroutine without Guard", files.Position(started.Pos()))
				}
			}
			return true
		})
	}
	if found < 6 {
		t.Errorf("only %d goroutines found", found)
	}
}

// isGuarded accepts guarded(…), Guard(…), and a function that calls Guard first of all.
func isGuarded(e ast.Expr) bool {
	if f, ok := e.(*ast.FuncLit); ok && len(f.Body.List) > 0 {
		guarded := false
		ast.Inspect(f.Body.List[0], func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				guarded = guarded || isGuarded(c)
			}
			return !guarded
		})
		return guarded
	}
	c, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := c.Fun.(*ast.Ident)
	return ok && (name.Name == "guarded" || name.Name == "Guard")
}
