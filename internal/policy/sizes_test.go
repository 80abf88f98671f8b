package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keepsake.example/internal/policy"
)

func TestSizes(t *testing.T) {
	report(t, policy.CheckSizes(thisModule(t)))
}

// function is Go source of one function of that many lines, the first one "func name() {".
func function(name string, lines int) string {
	return "func " + name + "() {\n" + strings.Repeat("\n", lines-2) + "}\n"
}

func TestSizesFindsBreaches(t *testing.T) {
	const p = "package p\n"
	short := strings.Repeat(function("a", 3), 20)
	tests := []struct {
		name string
		path string
		text string
		want []string
	}{
		{"within", "p/a.go", p + short + function("b", 80), nil},
		{"long function", "p/a.go", p + short + function("b", 81), []string{"p/a.go:62: b has 81 lines"}},
		{"long test function", "p/a_test.go", p + function("b", 200), nil},
		{"excused above", "p/a.go", p + short + "// b is long because it is a table.\n" + function("b", 90), nil},
		{"excused inside", "p/a.go", p + short + "func b() {\n// long because of a table\n" + strings.Repeat("\n", 90) + "}\n", nil},
		{"excused elsewhere", "p/a.go", p + short + function("b", 90) + "\n// c is long because it is not.\n" + function("c", 3), []string{"b has 90 lines"}},
		{"file at the limit", "p/a.go", p + strings.Repeat("\n", 499), nil},
		{"long file", "p/a.go", p + strings.Repeat("\n", 500), []string{"p/a.go: 501 lines, over 500"}},
		{"test file at the limit", "p/a_test.go", p + strings.Repeat("\n", 499), nil},
		{"long test file", "p/a_test.go", p + strings.Repeat("\n", 500), []string{"p/a_test.go: 501 lines, over 500"}},
		{"long test file of the vault", "vault/a_test.go", "package vault\n" + strings.Repeat("\n", 300), nil},
		{"long file in the vault", "vault/a.go", "package vault\n" + strings.Repeat("\n", 300), []string{"vault/a.go: 301 lines, over 300"}},
		{"long main", "p/a.go", "package main\n" + short + function("main", 61), []string{"main has 61 lines, over 60"}},
		{"median", "p/a.go", p + strings.Repeat(function("a", 13), 20), []string{"median function has 13 lines"}},
		{"too many of 41", "p/a.go", p + strings.Repeat(function("a", 3), 8) + strings.Repeat(function("b", 41), 2), []string{"80.0% of functions"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, policy.CheckSizes(load(t, map[string]string{tt.path: tt.text})), tt.want...)
		})
	}
}

// A module that another one links anyway is not counted beside it, and is without it.
func TestCommandsModules(t *testing.T) {
	const imports = "package main\nimport (%s)\nfunc main() {}\n"
	var nine []string
	for i := range 9 {
		nine = append(nine, fmt.Sprintf("%q", fmt.Sprintf("ext.example/m%d", i)))
	}
	for _, test := range []struct {
		more []string
		want []string
	}{
		{[]string{`"github.com/zalando/go-keyring"`, `"github.com/godbus/dbus/v5"`, `"golang.org/x/sys/unix"`}, nil},
		{[]string{`"github.com/godbus/dbus/v5"`, `"ext.example/m9"`}, []string{"links 11 modules directly, over 10"}},
	} {
		all := strings.Join(append(slices.Clone(nine), test.more...), ";")
		s := load(t, map[string]string{"cmd/keepsake/a.go": fmt.Sprintf(imports, all)})
		expect(t, policy.CheckSizes(s), test.want...)
	}
}

func TestMeasure(t *testing.T) {
	s := load(t, map[string]string{
		"p/a.go":      "package p\n" + function("a", 2) + function("b", 4) + function("c", 9),
		"p/a_test.go": "package p\n" + function("t", 50),
	})
	z := policy.Measure(s, "p")
	if z.Files != 1 || z.Lines != 16 || z.TestLines != 51 || len(z.Functions) != 3 {
		t.Errorf("measured %+v", z)
	}
	if z.Median() != 4 || z.P90() != 9 || z.Short() != 1 {
		t.Errorf("median %d, p90 %d, short %v, want 4, 9, 1", z.Median(), z.P90(), z.Short())
	}
}

func TestPrintSizes(t *testing.T) {
	s := load(t, map[string]string{"p/a.go": "package p\n" + function("longest", 7) + function("b", 4)})
	var out strings.Builder
	if err := policy.PrintSizes(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"budget", "\n    7  longest  p/a.go:2\n", "0 of 10"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
