package policy_test

import (
	"testing"

	"keepsake.example/internal/policy"
)

func TestDocs(t *testing.T) {
	report(t, policy.CheckDocs(thisModule(t)))
}

func TestFormat(t *testing.T) {
	report(t, policy.CheckFormat(thisModule(t)))
}

func TestLinks(t *testing.T) {
	found, err := policy.CheckLinks(thisModule(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

// Commands shown to readers must exist, with the flags they are shown with.
func TestCommands(t *testing.T) {
	found, err := policy.CheckCommands(thisModule(t), "cmd/keepsake", "internal/cli")
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

func TestDocsFindsBreaches(t *testing.T) {
	const doc = "// Package p is p.\npackage p\n\n"
	tests := []struct {
		name string
		path string
		text string
		want []string
	}{
		{"documented", "p/a.go", doc + "// F does.\nfunc F() {}\n\n// T is.\ntype T int\n\n// The values.\nconst (\n\tA = 1\n\tB = 2\n)\n", nil},
		{"no package comment", "p/a.go", "package p\n", []string{"p: no package comment"}},
		{"package comment about another", "p/a.go", "// Package q is q.\npackage p\n", []string{"p: no package comment"}},
		{"command", "cmd/x/a.go", "// Command x does.\npackage main\n\nfunc F() {}\n", nil},
		{"command without a comment", "cmd/x/a.go", "package main\n", []string{"cmd/x: no package comment"}},
		{"function", "p/a.go", doc + "func F() {}\n", []string{"p/a.go:4: exported F"}},
		{"method", "p/a.go", doc + "// T is.\ntype T int\n\nfunc (t *T) M() {}\n", []string{"exported M"}},
		{"generic method", "p/a.go", doc + "// T is.\ntype T[A any] struct{}\n\nfunc (t *T[A]) M() {}\n", []string{"exported M"}},
		{"method of a hidden type", "p/a.go", doc + "type t int\n\nfunc (t t) M() {}\n", nil},
		{"method with a known contract", "p/a.go", doc + "// T is.\ntype T int\n\nfunc (t T) String() string { return \"\" }\n", nil},
		{"function with a known method's name", "p/a.go", doc + "func String() {}\n", []string{"exported String"}},
		{"type", "p/a.go", doc + "type T int\n", []string{"exported T"}},
		{"type in a group", "p/a.go", doc + "// Types.\ntype (\n\tT int\n)\n", []string{"exported T"}},
		{"interface method", "p/a.go", doc + "// I is.\ntype I interface {\n\tM()\n\t// N does.\n\tN()\n}\n", []string{"exported M"}},
		{"variable", "p/a.go", doc + "var V, w int\n", []string{"exported V"}},
		{"value with a comment beside it", "p/a.go", doc + "const (\n\tA = 1 // first\n)\n", nil},
		{"test file", "p/a_test.go", "package p_test\n\nfunc F() {}\n", nil},
		{"vague package", "internal/util/a.go", "// Package util is.\npackage util\n", []string{"internal/util: a package name"}},
		{"vague folder", "helpers/a.go", "// Package x is.\npackage x\n", []string{"helpers: a package name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, policy.CheckDocs(load(t, map[string]string{tt.path: tt.text})), tt.want...)
		})
	}
}

func TestFormatFindsBreaches(t *testing.T) {
	s := load(t, map[string]string{"p/good.go": "package p\n", "p/bad.go": "package  p\n"})
	expect(t, policy.CheckFormat(s), "p/bad.go")
}

func TestLinksFindsBreaches(t *testing.T) {
	s := load(t, map[string]string{
		"README.md": "# Top\n[a](doc/a.md) [b](doc/b.md)\n[there](doc/a.md#the-second-part) [not](doc/a.md#third)\n" +
			"[web](https://example.com/x) `[code](nowhere.md)`\n```\n[fenced](nowhere.md)\n```\n[self](#top) [out](../x.md)\n\n[ref]: gone.md\n",
		"doc/a.md": "## The second part\n[up](../README.md) [folder](../doc)\n",
	})
	found, err := policy.CheckLinks(s)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found,
		"README.md:2: link to doc/b.md: no such file", "README.md:3: link to doc/a.md#third: no such heading",
		"README.md:8: link to ../x.md: no such file", "README.md:10: link to gone.md: no such file")
}

func TestCommandsFindsBreaches(t *testing.T) {
	s := load(t, map[string]string{
		"cmd/keepsake/a.go": "package main\n\nvar a = command{Use: \"backup [flags]\"}\n\nfunc f() { flag(\"json\"); flag(\"profile\") }\n",
		"README.md": "```sh\nkeepsake backup --json # all\n$ keepsake --profile x \\\n    backup\nbin/keepsake restore x\n" +
			"keepsake backup --fast\necho keepsake nothing\n```\nkeepsake prose\n```go\nkeepsake code\n```\n",
	})
	found, err := policy.CheckCommands(s, "cmd/keepsake")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found, "README.md:5: keepsake has no subcommand restore", "README.md:6: keepsake has no flag --fast")
}
