// Package policy checks the source tree against the project's own rules: who may import whom, how
// long files and functions may be, what must be documented. Its tests run the checks on this
// module, so that `go test ./...` fails on a breach; stats prints the sizes.
//
// The tree is read and parsed here rather than asked of `go list`: `go test` caches a test that
// runs a command, and the cached pass would survive a bad import. Files a test opens itself are
// part of its cache key.
package policy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Source is a module's source tree, parsed. It is not changed after Load and may be shared.
type Source struct {
	Module   string              // the module path in go.mod
	Requires []string            // module paths that go.mod requires, longest first
	Packages map[string]*Package // by folder, slash-separated; "." is the root
	Tree     fs.FS               // the files themselves
	Fset     *token.FileSet      // positions of every File
}

// Package is the Go files of one folder, test files included.
type Package struct {
	Dir   string // folder, slash-separated
	Name  string // package name, without the _test of an external test
	Files []*File
}

// File is one parsed Go file.
type File struct {
	Path    string // slash-separated, from the root
	Test    bool   // named *_test.go
	Imports []string
	Text    []byte
	Syntax  *ast.File
}

// Lines is the number of lines of the file.
func (f *File) Lines() int { return bytes.Count(f.Text, []byte("\n")) }

// TestOnly says whether the package exists for tests alone: a conformance suite or a fake.
func (p *Package) TestOnly() bool { return strings.HasSuffix(path.Base(p.Dir), "test") }

// Load parses every Go file of the module in tree, for every operating system and build tag alike.
// Nested modules, testdata and folders that start with a dot or underscore are not part of it.
func Load(tree fs.FS) (*Source, error) {
	s := &Source{Packages: map[string]*Package{}, Tree: tree, Fset: token.NewFileSet()}
	if err := s.readModule(); err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return s.enter(name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		return s.add(name)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the source tree: %w", err)
	}
	return s, nil
}

func (s *Source) readModule() error {
	text, err := fs.ReadFile(s.Tree, "go.mod")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		switch {
		case len(words) >= 2 && words[0] == "module":
			s.Module = words[1]
		case len(words) >= 2 && strings.HasPrefix(words[1], "v"):
			s.Requires = append(s.Requires, words[0])
		}
	}
	// So that the first match of a path is the module it is in.
	slices.SortFunc(s.Requires, func(a, b string) int { return len(b) - len(a) })
	return nil
}

func (s *Source) enter(dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(s.Tree, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (s *Source) add(name string) error {
	text, err := fs.ReadFile(s.Tree, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(s.Fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &File{Path: name, Test: strings.HasSuffix(name, "_test.go"), Text: text, Syntax: syntax}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		f.Imports = append(f.Imports, imported)
	}
	dir := path.Dir(name)
	p := s.Packages[dir]
	if p == nil {
		p = &Package{Dir: dir}
		s.Packages[dir] = p
	}
	p.Files = append(p.Files, f)
	if p.Name == "" || !f.Test {
		p.Name = strings.TrimSuffix(syntax.Name.Name, "_test")
	}
	return nil
}

// Dirs lists the packages' folders in order.
func (s *Source) Dirs() []string {
	var dirs []string
	for dir := range s.Packages {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

// files are a package's Go files that are not tests, none where there is no package.
func files(s *Source, dir string) []*File {
	p := s.Packages[dir]
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}

// local turns the import path of one of the module's own packages into its folder.
func (s *Source) local(imported string) (dir string, ok bool) {
	if imported == s.Module {
		return ".", true
	}
	return strings.CutPrefix(imported, s.Module+"/")
}

// moduleOf names the required module that an import path belongs to, or the path itself.
func (s *Source) moduleOf(imported string) string {
	for _, m := range s.Requires {
		if matches(m+"/...", imported) {
			return m
		}
	}
	return imported
}

// matches says whether a path is the one named by pattern, or below it when that ends in "/...".
func matches(pattern, name string) bool {
	root, tree := strings.CutSuffix(pattern, "/...")
	return name == root || tree && strings.HasPrefix(name, root+"/")
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}
