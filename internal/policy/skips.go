package policy

import (
	"fmt"
	"go/ast"
	"path"
)

// skipping are the ways a test has to not run, by their last name: (*testing.T).Skip and the
// like, and testing.Short, which asks whether to.
var skipping = map[string]bool{"Skip": true, "Skipf": true, "SkipNow": true, "Short": true}

// CheckSkips reports calls that skip a test outside the package in folder except: a skipped test
// passes and shows nothing, so one place decides, and fails instead of skipping under `make`.
// Calls are told by name, on values of any type, and so is a method that is handed on.
func CheckSkips(s *Source, except string) (found []string) {
	for _, dir := range s.Dirs() {
		if dir == except {
			continue
		}
		for _, f := range s.Packages[dir].Files {
			if f.Test || importsTesting(f) {
				found = append(found, skips(s, f)...)
			}
		}
	}
	return found
}

// importsTesting says whether a file that is no test works with one, as a kit does.
func importsTesting(f *File) bool {
	for _, imported := range f.Imports {
		if imported == "testing" || path.Base(imported) == "rapid" {
			return true
		}
	}
	return false
}

func skips(s *Source, f *File) (found []string) {
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && skipping[sel.Sel.Name] && ofTest(sel) {
			found = append(found, fmt.Sprintf("%s:%d: %s: only internal/mounttest skips tests", f.Path, s.Fset.Position(sel.Pos()).Line, sel.Sel.Name))
		}
		return true
	})
	return found
}

// ofTest says whether a selector can be a test's: Short is one only of package testing.
func ofTest(sel *ast.SelectorExpr) bool {
	x, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name != "Short" || ok && x.Name == "testing"
}
