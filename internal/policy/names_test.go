package policy_test

import (
	"testing"

	"keepsake.example/internal/policy"
)

// Tests that the specifications name as the evidence of a promise must exist.
func TestTestNames(t *testing.T) {
	found, err := policy.CheckTestNames(thisModule(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

func TestTestNamesFindsBreaches(t *testing.T) {
	s := load(t, map[string]string{
		"p/q/a_test.go": "package q\nfunc TestA() {}\nfunc FuzzB() {}\n",
		"p/q/b.go":      "package q\nfunc TestShipped() {}\n",
		"spec/x.md": "`TestA` `p/q.TestA` `p/q.FuzzB` and TestProse\n\n" +
			"| promise | `TestGone`, `p.TestA` |\n`TestShipped`\n",
		"doc/decisions/0001-x.md": "`TestGone`\n",
	})
	found, err := policy.CheckTestNames(s)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found, "spec/x.md:3: names TestGone", "spec/x.md:3: names p.TestA", "spec/x.md:4: names TestShipped")
}
