package policy_test

import (
	"testing"

	"keepsake.example/internal/policy"
)

// A skipped test passes and shows nothing.
func TestSkips(t *testing.T) {
	report(t, policy.CheckSkips(thisModule(t), "internal/mounttest"))
}

func TestSkipsFindsBreaches(t *testing.T) {
	s := load(t, map[string]string{
		"p/a_test.go": "package p\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {\n\tif testing.Short() {\n\t\tt.Skip(\"slow\")\n\t}\n\tt.Skipf(\"%d\", 1)\n\tdefer t.SkipNow()\n\tdo(t.SkipNow)\n}\n",
		"p/a.go":      "package p\n\nfunc f(r reader, c command) string { r.Skip(3); return c.Short() }\n",
		"p/kit.go":    "package p\n\nimport \"testing\"\n\nfunc need(t testing.TB, c command) { t.Skip(c.Short()) }\n",
		"mount/a.go":  "package mount\n\nimport \"testing\"\n\nfunc missing(t testing.TB) { t.Skip() }\n",
	})
	expect(t, policy.CheckSkips(s, "mount"),
		"p/a_test.go:6: Short", "p/a_test.go:7: Skip:", "p/a_test.go:9: Skipf", "p/a_test.go:10: SkipNow", "p/a_test.go:11: SkipNow", "p/kit.go:5: Skip:")
}
