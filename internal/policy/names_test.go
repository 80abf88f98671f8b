package policy_test

import (
	"testing"

	"keepsake.example/internal/policy"
)

// Tests that the specifications name as the evidence of a promise must exist.
func TestTestNames(t *testing.T) {
	clouds, err := cloudModule()
	if err != nil {
		t.Fatal(err)
	}
	found, err := policy.CheckTestNames(thisModule(t), map[string]*policy.Source{"cloud/rclone": clouds})
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
			"| promise | `TestGone`, `p.TestA` |\n`TestShipped`\n`n/m.TestNested` `m.TestNested` `n.TestTop`\n",
		"doc/decisions/0001-x.md": "`TestGone`\n",
	})
	nested := load(t, map[string]string{"m/a_test.go": "package m\nfunc TestNested() {}\n", "a_test.go": "package n\nfunc TestTop() {}\n"})
	found, err := policy.CheckTestNames(s, map[string]*policy.Source{"n": nested})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found, "spec/x.md:3: names TestGone", "spec/x.md:3: names p.TestA", "spec/x.md:4: names TestShipped", "spec/x.md:5: names m.TestNested")
}
