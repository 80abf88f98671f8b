package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule says what one package may import. Folders and import paths may end in "/..." for a whole tree.
type Rule struct {
	Dir      string   // the package's folder
	Planned  bool     // not written yet; the rule waits for it
	Std      []string // the only parts of the standard library it may import; nil: all of it
	Local    []string // folders of this module it may import
	External []string // import paths outside the module and the standard library
	Tests    []string // folders and import paths that only its test files may import besides
	Never    []string // folders it must not reach through any chain of imports
	Why      string   // told to whoever breaks the rule
}

// testOnly are the import paths that have no place in a shipped binary, the module's own
// conformance suites and fakes (folders named *test) aside.
var testOnly = []string{
	"testing/...",
	"net/http/httptest",
	"github.com/google/go-cmp/...",
	"github.com/rogpeppe/go-internal/...",
	"github.com/c2sp/wycheproof/...",
	"github.com/creack/pty/...",
	"pgregory.net/rapid/...",
}

// CheckImports reports every import that breaks a rule, every package that no rule names, and every
// rule whose package is missing, or is there though said to be planned.
func CheckImports(s *Source, rules []Rule) []string {
	var found []string
	byDir := map[string]Rule{}
	for _, r := range rules {
		if _, twice := byDir[r.Dir]; twice {
			found = append(found, fmt.Sprintf("%s: two rules", r.Dir))
		}
		byDir[r.Dir] = r
		found = append(found, checkPresence(s, r)...)
	}
	for _, dir := range s.Dirs() {
		r, ok := byDir[dir]
		if !ok {
			found = append(found, fmt.Sprintf("%s: no rule says what it may import", dir))
			continue
		}
		for _, f := range s.Packages[dir].Files {
			found = append(found, checkFile(s, r, f)...)
		}
		found = append(found, checkReach(s, r)...)
	}
	return found
}

func checkPresence(s *Source, r Rule) []string {
	_, exists := s.Packages[r.Dir]
	switch {
	case !exists && !r.Planned:
		return []string{fmt.Sprintf("%s: a rule says it exists, but it has no Go files", r.Dir)}
	case exists && r.Planned:
		return []string{fmt.Sprintf("%s: exists, but its rule still says planned", r.Dir)}
	}
	return nil
}

func checkFile(s *Source, r Rule, f *File) []string {
	var found []string
	for _, imported := range f.Imports {
		if !mayImport(s, r, f, imported) {
			found = append(found, fmt.Sprintf("%s: imports %s: %s", f.Path, imported, r.Why))
		}
	}
	return found
}

func mayImport(s *Source, r Rule, f *File, imported string) bool {
	tests := f.Test || s.Packages[r.Dir].TestOnly()
	dir, local := s.local(imported)
	switch {
	case matchesAny(testOnly, imported) || local && strings.HasSuffix(path.Base(dir), "test"):
		return tests
	case local:
		return dir == r.Dir || matchesAny(r.Local, dir) || tests && matchesAny(r.Tests, dir)
	case tests && matchesAny(r.Tests, imported):
		return true
	case isStd(imported):
		return tests || r.Std == nil || slices.Contains(r.Std, imported)
	}
	return matchesAny(r.External, imported)
}

// isStd tells the standard library from modules: these have a dot in their first element. "C" is
// neither: cgo would take the memory safety away that the trust boundaries stand on.
func isStd(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return imported != "C" && !strings.Contains(first, ".")
}

// checkReach follows the imports of non-test files: a rule that only looked at a package's own files
// could be got round through a third package.
func checkReach(s *Source, r Rule) []string {
	var found []string
	seen := map[string]bool{r.Dir: true}
	var visit func(chain []string)
	visit = func(chain []string) {
		dir := chain[len(chain)-1]
		if len(chain) > 1 && matchesAny(r.Never, dir) {
			found = append(found, fmt.Sprintf("%s: reaches %s: %s", r.Dir, strings.Join(chain[1:], " -> "), r.Why))
			return
		}
		for _, next := range localImports(s, dir) {
			if !seen[next] {
				seen[next] = true
				visit(append(slices.Clone(chain), next))
			}
		}
	}
	visit([]string{r.Dir})
	return found
}

// localImports are the module's own packages that a package's non-test files import.
func localImports(s *Source, dir string) []string {
	var dirs []string
	for _, f := range files(s, dir) {
		for _, imported := range f.Imports {
			if d, ok := s.local(imported); ok {
				dirs = append(dirs, d)
			}
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// Dependencies are the modules outside this one that the given package links directly or through
// other packages of this module.
func Dependencies(s *Source, dir string) []string {
	modules := map[string]bool{}
	seen := map[string]bool{}
	var visit func(string)
	visit = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		for _, f := range files(s, dir) {
			for _, imported := range f.Imports {
				if _, ok := s.local(imported); !ok && !isStd(imported) {
					modules[s.moduleOf(imported)] = true
				}
			}
		}
		for _, next := range localImports(s, dir) {
			visit(next)
		}
	}
	visit(dir)
	var names []string
	for m := range modules {
		names = append(names, m)
	}
	slices.Sort(names)
	return names
}
