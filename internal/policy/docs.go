package policy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"path"
	"slices"
	"strings"
)

// vague are package names that say nothing about what is inside, so that anything lands there.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "manager", "pkg", "base", "shared"}

// selfExplained are methods whose contract is that of a well-known interface.
var selfExplained = []string{
	"Error", "Unwrap", "Is", "As", "String", "GoString", "Format", "LogValue",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
}

// CheckDocs reports packages without a package comment, with a name that says nothing, and
// exported names without a doc comment. Test files and main packages export nothing.
func CheckDocs(s *Source) []string {
	var found []string
	for _, dir := range s.Dirs() {
		p := s.Packages[dir]
		if slices.Contains(vague, p.Name) || slices.Contains(vague, path.Base(dir)) {
			found = append(found, fmt.Sprintf("%s: a package name that says nothing about what is in it", dir))
		}
		found = append(found, checkPackageComment(p)...)
		for _, f := range p.Files {
			if !f.Test && p.Name != "main" {
				found = append(found, undocumented(s, f)...)
			}
		}
	}
	return found
}

func checkPackageComment(p *Package) []string {
	if !slices.ContainsFunc(p.Files, func(f *File) bool { return !f.Test }) {
		return nil
	}
	start := "Package " + p.Name + " "
	if p.Name == "main" {
		start = "Command " + path.Base(p.Dir) + " "
	}
	for _, f := range p.Files {
		// A comment may break its line after the name.
		if text := strings.ReplaceAll(f.Syntax.Doc.Text(), "\n", " "); strings.HasPrefix(text, start) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: no package comment that starts %q", p.Dir, start)}
}

func undocumented(s *Source, f *File) []string {
	var found []string
	report := func(name *ast.Ident) {
		at := s.Fset.Position(name.Pos())
		found = append(found, fmt.Sprintf("%s:%d: exported %s has no doc comment", f.Path, at.Line, name.Name))
	}
	for _, decl := range f.Syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && onExported(d) && !isSelfExplained(d) {
				report(d.Name)
			}
		case *ast.GenDecl:
			for _, name := range bareNames(d) {
				report(name)
			}
		}
	}
	return found
}

func isSelfExplained(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains(selfExplained, d.Name.Name)
}

// onExported says whether a function is reachable by its name: it has no receiver, or an exported one.
func onExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// bareNames are the exported names of a declaration that neither it, nor their own line, explains.
func bareNames(d *ast.GenDecl) []*ast.Ident {
	if d.Tok == token.IMPORT {
		return nil
	}
	var bare []*ast.Ident
	for _, spec := range d.Specs {
		switch x := spec.(type) {
		case *ast.TypeSpec:
			if x.Name.IsExported() && x.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				bare = append(bare, x.Name)
			}
			bare = append(bare, bareMethods(x)...)
		case *ast.ValueSpec:
			// One comment may explain a whole group of values.
			if x.Doc == nil && x.Comment == nil && d.Doc == nil {
				bare = append(bare, slices.DeleteFunc(slices.Clone(x.Names), func(n *ast.Ident) bool { return !n.IsExported() })...)
			}
		}
	}
	return bare
}

// bareMethods are the unexplained methods of an exported interface: whoever implements it has
// nothing else to go by.
func bareMethods(t *ast.TypeSpec) []*ast.Ident {
	i, ok := t.Type.(*ast.InterfaceType)
	if !ok || !t.Name.IsExported() {
		return nil
	}
	var bare []*ast.Ident
	for _, m := range i.Methods.List {
		if len(m.Names) == 1 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
			bare = append(bare, m.Names[0])
		}
	}
	return bare
}

// CheckFormat reports Go files that gofmt would change.
func CheckFormat(s *Source) []string {
	var found []string
	for _, dir := range s.Dirs() {
		for _, f := range s.Packages[dir].Files {
			want, err := format.Source(f.Text)
			if err != nil || !bytes.Equal(want, f.Text) {
				found = append(found, f.Path+": not gofmt'ed")
			}
		}
	}
	return found
}
