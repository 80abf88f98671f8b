package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// make test runs a package where goroutines meet under the race detector, and without it only what the Makefile's UNRACED names. So a test that is
// not built for the detector runs nowhere unless it is named there.
func TestUnracedNamesWhatIsNotBuiltForTheDetector(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(regexp.MustCompile(`(?m)^UNRACED +:= (.*)$`).FindStringSubmatch(string(makefile))[1])
	constraint := regexp.MustCompile(`(?m)^//go:build .*!race`)
	tests := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	files, err := filepath.Glob("../../*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../../*/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(files, deeper...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !constraint.Match(text) {
			continue
		}
		for _, m := range tests.FindAllStringSubmatch(string(text), -1) {
			if found++; !named.MatchString(m[1]) && !strings.HasSuffix(m[1], "Child") {
				t.Errorf("%s: %s runs nowhere in make test: name it in UNRACED", file, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no test is left that this is about: delete it")
	}
}
