package policy

import (
	"fmt"
	"go/ast"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// The budgets, after the measurements of good Go code that the project keeps in its style guide.
const (
	maxFileLines     = 500  // of tests too
	maxVaultFile     = 300  // the vault is read line by line by its reviewers
	maxVaultLines    = 1500 // of the whole package, tests aside
	maxFunction      = 80   // unless a comment in it says "long because"
	shortFunction    = 40   // nine in ten are no longer
	shortShare       = 0.9
	maxMedian        = 12
	maxMain          = 60 // parse, run, exit
	maxCLIDependency = 10 // modules that the person's command links directly, without golang.org/x
)

// Function is the size of one function or method outside tests.
type Function struct {
	Where   string // file:line
	Name    string
	Lines   int  // from "func" to the closing brace
	Excused bool // a comment in it or above it says "long because"
}

// Sizes are the measurements of some packages.
type Sizes struct {
	Files     int // outside tests
	Lines     int // of those
	TestLines int
	FileLines []int
	Functions []Function
}

// Measure adds up the packages in the given folders.
func Measure(s *Source, dirs ...string) Sizes {
	var z Sizes
	for _, dir := range dirs {
		for _, f := range s.Packages[dir].Files {
			if f.Test {
				z.TestLines += f.Lines()
				continue
			}
			z.Files++
			z.Lines += f.Lines()
			z.FileLines = append(z.FileLines, f.Lines())
			z.Functions = append(z.Functions, functions(s, f)...)
		}
	}
	return z
}

func functions(s *Source, f *File) []Function {
	var all []Function
	for _, decl := range f.Syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		start, end := s.Fset.Position(fn.Type.Func), s.Fset.Position(fn.End())
		all = append(all, Function{
			Where:   fmt.Sprintf("%s:%d", f.Path, start.Line),
			Name:    fn.Name.Name,
			Lines:   end.Line - start.Line + 1,
			Excused: excused(f, fn),
		})
	}
	return all
}

func excused(f *File, fn *ast.FuncDecl) bool {
	for _, group := range f.Syntax.Comments {
		inside := group.Pos() >= fn.Pos() && group.End() <= fn.End()
		if (inside || group == fn.Doc) && strings.Contains(group.Text(), "long because") {
			return true
		}
	}
	return false
}

// Median is the middle function's length, 0 without functions.
func (z Sizes) Median() int { return quantile(z.lengths(), 0.5) }

// P90 is the length that nine in ten functions do not exceed.
func (z Sizes) P90() int { return quantile(z.lengths(), 0.9) }

// Short is the share of functions of at most 40 lines, 1 without functions.
func (z Sizes) Short() float64 {
	if len(z.Functions) == 0 {
		return 1
	}
	short := 0
	for _, n := range z.lengths() {
		if n <= shortFunction {
			short++
		}
	}
	return float64(short) / float64(len(z.Functions))
}

func (z Sizes) lengths() []int {
	var lengths []int
	for _, f := range z.Functions {
		lengths = append(lengths, f.Lines)
	}
	return lengths
}

func quantile(values []int, q float64) int {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// CheckSizes reports everything over its budget.
func CheckSizes(s *Source) []string {
	var found []string
	for _, dir := range s.Dirs() {
		found = append(found, checkFiles(s.Packages[dir])...)
	}
	all := Measure(s, s.Dirs()...)
	for _, f := range all.Functions {
		if f.Lines > maxFunction && !f.Excused {
			found = append(found, fmt.Sprintf(`%s: %s has %d lines, over %d, and no comment says "long because"`, f.Where, f.Name, f.Lines, maxFunction))
		}
		if f.Name == "main" && f.Lines > maxMain {
			found = append(found, fmt.Sprintf("%s: main has %d lines, over %d", f.Where, f.Lines, maxMain))
		}
	}
	if m := all.Median(); m > maxMedian {
		found = append(found, fmt.Sprintf("the median function has %d lines, over %d", m, maxMedian))
	}
	if share := all.Short(); share < shortShare {
		found = append(found, fmt.Sprintf("%.1f%% of functions have at most %d lines, under %.0f%%", share*100, shortFunction, shortShare*100))
	}
	if d := counted(Dependencies(s, "cmd/keepsake")); len(d) > maxCLIDependency {
		found = append(found, fmt.Sprintf("cmd/keepsake: links %d modules directly, over %d: %s", len(d), maxCLIDependency, strings.Join(d, ", ")))
	}
	return found
}

// linkedBy names, for a module, another one that links it anyway: who trusts the second has trusted
// the first already, and a direct import adds nobody (doc/decisions/0048).
var linkedBy = map[string]string{"github.com/godbus/dbus/v5": "github.com/zalando/go-keyring"}

// counted leaves out the modules of the Go project, which come from the people and
// the process that the compiler and the standard library come from (doc/decisions/0020),
// and those that another module of the list links anyway.
func counted(modules []string) []string {
	return slices.DeleteFunc(slices.Clone(modules), func(m string) bool {
		by, ok := linkedBy[m]
		return strings.HasPrefix(m, "golang.org/x/") || ok && slices.Contains(modules, by)
	})
}

func checkFiles(p *Package) []string {
	var found []string
	total := 0
	for _, f := range p.Files {
		limit := maxFileLines
		if !f.Test {
			total += f.Lines()
			if p.Dir == "vault" {
				limit = maxVaultFile
			}
		}
		if f.Lines() > limit {
			found = append(found, fmt.Sprintf("%s: %d lines, over %d", f.Path, f.Lines(), limit))
		}
	}
	if p.Dir == "vault" && total > maxVaultLines {
		found = append(found, fmt.Sprintf("vault: %d lines, over %d", total, maxVaultLines))
	}
	return found
}

// PrintSizes writes a table of every package and of all together, then the longest functions.
func PrintSizes(w io.Writer, s *Source) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "package\tfiles\tlines\ttests\tmedian file\tlongest\tfunctions\tmedian\tp90\tmax\tup to 40\t")
	for _, dir := range s.Dirs() {
		printRow(t, dir, Measure(s, dir))
	}
	all := Measure(s, s.Dirs()...)
	printRow(t, "all", all)
	fmt.Fprintf(t, "budget\t\t\t\t150\t%d\t\t%d\t%d\t%d\t%.0f%%\t\n", maxFileLines, maxMedian, shortFunction, maxFunction, shortShare*100)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nlongest functions:")
	slices.SortFunc(all.Functions, func(a, b Function) int { return b.Lines - a.Lines })
	for _, f := range all.Functions[:min(10, len(all.Functions))] {
		fmt.Fprintf(w, "%5d  %s  %s\n", f.Lines, f.Name, f.Where)
	}
	d := counted(Dependencies(s, "cmd/keepsake"))
	_, err := fmt.Fprintf(w, "\nmodules that cmd/keepsake links directly, without golang.org/x: %d of %d: %s\n", len(d), maxCLIDependency, strings.Join(d, ", "))
	return err
}

func printRow(w io.Writer, name string, z Sizes) {
	lengths := z.lengths()
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f%%\t\n", name, z.Files, z.Lines, z.TestLines,
		quantile(z.FileLines, 0.5), quantile(z.FileLines, 1), len(lengths), z.Median(), z.P90(), quantile(lengths, 1), z.Short()*100)
}
