package policy

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// testName is a test in inline code, with its folder before it or without.
var testName = regexp.MustCompile("`(?:([a-z0-9/]+)\\.)?((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// CheckTestNames reports tests that a Markdown file names and that do not exist: a promise whose
// test was renamed or dropped is one that nothing shows any more. "`folder.TestX`" must be in that
// folder, "`TestX`" in any. nested are modules inside this one, by their folders: their tests count too.
func CheckTestNames(s *Source, nested map[string]*Source) ([]string, error) {
	all, err := pages(s)
	if err != nil {
		return nil, fmt.Errorf("reading Markdown files: %w", err)
	}
	tests := map[string][]string{}
	addTests(tests, s, "")
	for folder, m := range nested {
		addTests(tests, m, folder+"/")
	}
	var found []string
	for _, p := range all {
		if strings.HasPrefix(p.path, "doc/decisions/") {
			continue // dated, and not edited
		}
		text, err := fs.ReadFile(s.Tree, p.path)
		if err != nil {
			return nil, fmt.Errorf("reading Markdown files: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			found = append(found, missingTests(tests, fmt.Sprintf("%s:%d", p.path, i+1), line)...)
		}
	}
	return found, nil
}

func missingTests(tests map[string][]string, at, line string) (found []string) {
	for _, m := range testName.FindAllStringSubmatch(line, -1) {
		if !slices.ContainsFunc(tests[m[2]], func(dir string) bool { return m[1] == "" || m[1] == dir }) {
			found = append(found, fmt.Sprintf("%s: names %s, and there is no such test", at, strings.Trim(m[0], "`")))
		}
	}
	return found
}

// addTests adds the folders in which each test function is.
func addTests(folders map[string][]string, s *Source, above string) {
	for _, dir := range s.Dirs() {
		for _, f := range s.Packages[dir].Files {
			for _, d := range f.Syntax.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && f.Test && d.Recv == nil {
					folders[d.Name.Name] = append(folders[d.Name.Name], path.Join(above, dir))
				}
			}
		}
	}
}
