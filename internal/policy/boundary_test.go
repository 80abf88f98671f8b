package policy_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"keepsake.example/internal/policy"
)

// The trust boundaries (doc: who knows what). A package may import what its line lists and nothing
// else; Never holds through any chain of imports.
var rules = []policy.Rule{
	// On the device.
	{Dir: "key", Tests: []string{"vectors/..."}, Why: "K is read by reviewers on its own: standard library only"},
	{Dir: "internal/cobblestone", Tests: []string{"vectors/..."}, Why: "the AEAD is read by reviewers on its own: standard library only"},
	{Dir: "internal/mounttest", Why: "where tests mount and are skipped; no program links it"},
	{Dir: "internal/clocktest", Why: "a clock for tests, which knows nobody; no program links it"},
	{Dir: "internal/durable", Tests: []string{"internal/mounttest"}, External: []string{"golang.org/x/sys/..."}, Why: "crash-safe files know nothing above them"},
	{Dir: "internal/sqlitepages", External: []string{"modernc.org/sqlite/...", "golang.org/x/sys/..."}, Why: "reads databases and knows nothing of what becomes of their pages"},
	{Dir: "cloud", Never: aboveCloud, Why: "the cloud sees ciphertext only"},
	{Dir: "cloud/dir", Tests: []string{"internal/mounttest"}, Local: []string{"cloud", "internal/durable"}, External: []string{"golang.org/x/sys/..."}, Never: aboveCloud, Why: "the cloud sees ciphertext only"},
	{Dir: "cloud/process", Tests: []string{"cloud/dir", "cloud/cloudtest"}, Local: []string{"cloud"}, External: []string{"golang.org/x/sys/..."}, Never: aboveCloud, Why: "both ends of a pipe to the program that reaches clouds: neither knows a key"},
	{Dir: "cloud/cloudtest", Local: []string{"cloud"}, Never: aboveCloud, Why: "the cloud sees ciphertext only"},
	{Dir: "cloud/faulty", Tests: []string{"internal/mounttest"}, Why: "a network for tests and measurements, which knows nobody; no program that is shipped links it"},
	{Dir: "cloud/retry", Local: []string{"cloud"}, Never: aboveCloud, Why: "tries again, and knows nothing of what is stored"},
	{
		Dir:      "backup",
		Local:    []string{"key", "cloud", "internal/cobblestone", "internal/durable", "internal/sqlitepages"},
		External: []string{"github.com/klauspost/compress/...", "github.com/zeebo/blake3", "golang.org/x/sync/errgroup", "golang.org/x/sys/..."},
		Tests:    []string{"cloud/dir", "internal/mounttest", "vectors/...", "modernc.org/sqlite/..."},
		Never:    []string{"client", "cmd/...", "internal/cli", "cloud/dir", "cloud/rclone"},
		Why:      "the format stands on the storage interface, and under client",
	},
	{
		Dir:      "client",
		Local:    []string{"client/schedule", "backup", "key", "cloud", "cloud/dir", "cloud/process", "cloud/retry", "sealed", "vaultapi", "fleet", "password", "internal/durable"},
		External: []string{"github.com/zalando/go-keyring"},
		Tests:    []string{"internal/mounttest", "modernc.org/sqlite/...", "oprf/p256", "token"},
		Never:    []string{"cmd/...", "internal/cli", "vault", "replica", "chatd", "anchor/..."},
		Why:      "the device links nothing of the servers, and the SDK nothing of the terminal",
	},
	{Dir: "client/schedule", Why: "when backups are due, decided without clock, files or network"},
	{Dir: "client/watch", Local: []string{"client/schedule"}, Why: "when to run, wait, try again and give up; it knows nothing of what is run"},
	{Dir: "client/timer", Local: []string{"client/schedule", "internal/durable"}, Tests: []string{"internal/mounttest"}, Why: "writes units for the system's timers, and holds no secret to put there"},
	{Dir: "internal/desktop", External: []string{"github.com/godbus/dbus/v5"}, Tests: []string{"internal/desktop/desktoptest"}, Never: []string{"client", "backup", "key", "cloud"}, Why: "what the system tells and is told: nothing of what is backed up"},
	{Dir: "internal/desktop/desktoptest", Local: []string{"internal/mounttest"}, External: []string{"github.com/godbus/dbus/v5"}, Why: "message buses for tests, and stand-ins on them"},
	{Dir: "client/clienttest", Local: []string{"client", "fleet", "oprf/p256", "sealed", "token", "vault", "vaultapi"}, Why: "a server for tests: the real vault behind a chatd that is played"},
	{Dir: "internal/cli", Local: []string{"key"}, External: []string{"golang.org/x/term", "golang.org/x/sys/..."}, Never: []string{"cmd/...", "client", "backup"}, Why: "prompts and progress know the terminal, not what is backed up"},
	{
		Dir:      "cmd/keepsake",
		Local:    []string{"client", "client/schedule", "client/timer", "client/watch", "internal/desktop", "backup", "key", "cloud", "cloud/dir", "cloud/process", "password", "fleet", "internal/cli", "internal/durable"},
		External: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"},
		Tests:    []string{"internal/desktop/desktoptest", "vaultapi", "vectors/...", "golang.org/x/sys/...", "modernc.org/sqlite/..."},
		Never:    []string{"vault", "replica", "chatd", "anchor/..."},
		Why:      "one binary per trust domain: the person's device",
	},
	{Dir: "vectors", Why: "test vectors are importable by anybody"},

	// Shared by device and vault.
	{Dir: "internal/hidden", Std: []string{"fmt", "io", "log/slog"}, Why: "how secrets are kept out of sight, read before each package that has some"},
	{Dir: "oprf", Local: []string{"internal/hidden"}, External: []string{"github.com/gtank/ristretto255"}, Tests: []string{"vectors/..."}, Why: "one protocol, read on its own"},
	{Dir: "sealed", Local: []string{"internal/hidden"}, Tests: []string{"vectors/..."}, Why: "one channel, read on its own: standard library only, and what hides its secrets"},
	{Dir: "vaultapi", Local: []string{"internal/hidden"}, Tests: []string{"vectors/..."}, Why: "messages know nobody who sends them"},
	{Dir: "fleet", Local: []string{"oprf/p256", "sealed"}, Tests: []string{"vectors/..."}, Why: "what a client pins, read on its own"},
	{
		Dir:      "password",
		Local:    []string{"internal/hidden", "key", "oprf", "oprf/p256", "sealed", "vaultapi"},
		External: []string{"golang.org/x/crypto/argon2", "golang.org/x/text/secure/precis", "github.com/ccojocar/zxcvbn-go/..."},
		Tests:    []string{"vectors/...", "github.com/gtank/ristretto255"},
		Never:    []string{"client", "backup", "cmd/..."},
		Why:      "from a password to keys, read on its own: no file, clock or network",
	},
	{Dir: "token", Local: []string{"internal/hidden"}, Tests: []string{"internal/clocktest"}, External: []string{"github.com/go-jose/go-jose/v4/..."}, Never: []string{"cmd/..."}, Why: "one token, read on its own by both who check it"},

	// In the vault.
	{Dir: "vault/cells", Std: pure, Why: "the vault's memory knows nothing of what is in it"},
	{Dir: "vault", Std: pure, Local: []string{"oprf", "oprf/p256", "vaultapi", "vault/cells", "internal/memo", "internal/wire"}, Tests: []string{"vectors/..."}, Why: "the state machine has no I/O, clock, randomness or goroutines"},
	{Dir: "anchor", Local: []string{"internal/hidden"}, Why: "the counter knows nothing of what it guards"},
	{Dir: "oprf/p256", Local: []string{"internal/hidden"}, External: []string{"filippo.io/nistec", "filippo.io/bigmod"}, Tests: []string{"vectors/..."}, Why: "one protocol, read on its own"},
	{Dir: "anchor/ledger", Local: []string{"anchor", "internal/durable"}, Tests: []string{"anchor/software", "vectors/..."}, Why: "spreads one counter over groups and knows nothing of what they count"},
	{Dir: "anchor/software", Local: []string{"anchor", "internal/durable", "oprf/p256"}, Why: "the counter knows nothing of what it guards"},
	{Dir: "anchor/tpm", Local: []string{"anchor", "internal/durable", "internal/wire"}, External: []string{"github.com/google/go-tpm/..."}, Tests: []string{"anchor/tpm/swtpm", "oprf/p256"}, Why: "the counter knows nothing of what it guards"},
	{Dir: "anchor/tpm/swtpm", Why: "starts a program, and knows nothing of what asks it"},
	{Dir: "anchor/pkcs11", Local: []string{"anchor", "internal/durable", "oprf/p256"}, External: []string{"github.com/miekg/pkcs11"}, Tests: []string{"anchor/pkcs11/softhsm"}, Why: "the counter knows nothing of what it guards"},
	{Dir: "anchor/pkcs11/softhsm", Local: []string{"anchor", "anchor/pkcs11", "internal/durable"}, Why: "makes throw-away tokens for tests and rehearsals"},
	{Dir: "anchor/anchortest", Local: []string{"anchor", "oprf/p256"}, Why: "the counter knows nothing of what it guards"},
	{
		Dir:      "replica",
		Local:    []string{"anchor", "internal/durable", "internal/memo", "internal/planted"},
		External: []string{"go.etcd.io/raft/v3/..."},
		Tests:    []string{"anchor/software", "vectors/..."},
		Never:    []string{"key", "backup", "client", "cloud/...", "chatd", "internal/cli", "vault"},
		Why:      "keeps a machine durable and knows nothing of what the machine is",
	},
	{Dir: "internal/wire", Std: pure, Why: "one byte form, read on its own"},
	{Dir: "roster", Std: append([]string{"crypto", "encoding/hex", "net/netip"}, pure...), Local: []string{"internal/memo", "internal/wire"}, Tests: []string{"vectors/..."}, Why: "who belongs to a fleet and who may change that: decided inside the state machine, like the vault"},
	{Dir: "ceremony", Why: "a record and its signatures, read on its own by those who check it"},
	{Dir: "peer", Tests: []string{"internal/mounttest"}, Never: []string{"vault", "replica", "roster"}, Why: "links carry what they cannot read"},
	{Dir: "vaultd/door", Local: []string{"oprf", "oprf/p256", "vault", "vaultapi"}, Never: outsideVault, Why: "decides requests without I/O, for vaultd and for the simulator"},
	{Dir: "vaultd/machine", Local: []string{"internal/planted", "replica", "roster", "vault", "vaultapi"}, Tests: []string{"oprf", "oprf/p256"}, Never: outsideVault, Why: "what a replica of the vault drives: the records and who keeps them"},
	{
		Dir:      "vaultd",
		Local:    []string{"anchor", "fleet", "internal/crowd", "internal/hidden", "oprf", "oprf/p256", "peer", "replica", "roster", "sealed", "token", "vault", "vaultapi", "vaultd/door", "vaultd/machine"},
		External: []string{"github.com/prometheus/client_golang/...", "golang.org/x/sys/..."},
		Tests:    []string{"anchor/software", "anchor/ledger", "anchor/tpm/...", "anchor/pkcs11/...", "internal/mounttest"},
		Never:    outsideVault,
		Why:      "the door of the vault knows neither passwords nor backups",
	},
	{
		Dir:      "cmd/vaultd",
		Local:    []string{"vaultd", "roster", "peer", "ceremony", "anchor/software", "anchor/ledger", "anchor/tpm", "anchor/tpm/swtpm", "anchor/pkcs11", "anchor/pkcs11/softhsm", "fleet", "replica", "anchor", "sealed", "token", "internal/command", "internal/durable"},
		External: []string{"github.com/BurntSushi/toml", "golang.org/x/term"},
		Tests:    []string{"internal/mounttest", "github.com/rogpeppe/go-internal/...", "github.com/creack/pty"},
		Never:    outsideVault,
		Why:      "one binary per trust domain: the vault",
	},

	// In front.
	{
		Dir:      "chatd",
		Local:    []string{"chatd/audit", "chatd/issuer", "chatd/limit", "chatd/nearest", "internal/crowd", "internal/hidden", "sealed", "token"},
		External: []string{"github.com/prometheus/client_golang/prometheus/...", "github.com/coreos/go-oidc/v3/oidc"},
		Tests:    []string{"internal/clocktest", "github.com/getkin/kin-openapi/..."},
		Never:    behindChatd, Why: "chatd relays what it cannot read",
	},
	{Dir: "chatd/audit", Local: []string{"internal/durable"}, External: []string{"golang.org/x/sys/..."}, Never: behindChatd, Why: "a log knows nothing of what is logged"},
	{Dir: "chatd/limit", External: []string{"golang.org/x/time/rate"}, Why: "buckets know nobody by name"},
	{Dir: "chatd/nearest", Why: "which server is nearest, decided without clock, network or goroutine"},
	{Dir: "chatd/issuer", Local: []string{"chatd/limit", "internal/hidden", "token"}, External: []string{"github.com/wneessen/go-mail", "modernc.org/sqlite"}, Tests: []string{"internal/clocktest", "github.com/emersion/go-smtp"}, Never: behindChatd, Why: "who makes accounts relays nothing"},
	{Dir: "cmd/chatd", Local: []string{"chatd/...", "chatd", "token", "internal/command", "internal/durable"}, External: []string{"github.com/BurntSushi/toml"}, Never: behindChatd, Why: "one binary per trust domain: the relay"},

	// Development.
	{Dir: "cmd/devnet", Local: []string{"chatd", "chatd/audit", "chatd/issuer", "vaultd", "anchor/software", "fleet", "roster", "sealed", "token"}, Why: "runs the whole system on one machine, and is the only program that links both servers"},
	{Dir: "internal/memo", Std: []string{"bytes", "crypto/ed25519", "crypto/hkdf", "crypto/sha256", "encoding/binary"}, Why: "calls what it is given: in everything that is shipped, it is what it is given"},
	{Dir: "internal/planted", Why: "known bugs by name: constants and false in everything that is shipped"},
	{
		Dir: "internal/sim", Local: []string{"anchor", "chatd/nearest", "internal/memo", "internal/planted", "oprf", "oprf/p256", "replica", "roster", "vault", "vaultapi", "vaultd/door", "vaultd/machine"},
		External: []string{"github.com/anishathalye/porcupine"}, Tests: []string{"golang.org/x/term"}, Never: []string{"cmd/...", "vaultd", "peer"}, Why: "the whole fleet in one thread: no files, network or clock",
	},
	{Dir: "endtoend", Tests: []string{"anchor/tpm/swtpm", "internal/mounttest"}, Why: "runs the programs as they are shipped, and links none of them"},
	{Dir: "internal/crowd", Why: "counts connections and reads nothing of them"},
	{Dir: "internal/command", External: []string{"github.com/BurntSushi/toml"}, Why: "what the servers' programs have in common: prints and reads what it is told to, and links nothing of them, nor key"},
	{Dir: "endtoend/clouds", Tests: []string{"cloud/faulty", "internal/mounttest"}, Why: "runs the programs as they are shipped, with a bad network between, and links none of them"},
	{
		Dir: "endtoend/outage", Tests: []string{"fleet", "internal/mounttest", "oprf", "sealed", "token", "vaultapi", "github.com/anishathalye/porcupine", "golang.org/x/sys/unix"},
		Why: "runs the programs as they are shipped, links none of them, and speaks for a client",
	},
	{Dir: "internal/policy", Why: "reads the source, links none of it"},
	{Dir: "internal/policy/stats", Local: []string{"internal/policy"}, Why: "reads the source, links none of it"},
	{Dir: "bench/newbytes", External: []string{"github.com/klauspost/compress/..."}, Why: "measures independently of what it measures"},
	{Dir: "bench/vaultload", Local: []string{"anchor", "anchor/ledger", "anchor/pkcs11/...", "anchor/software", "anchor/tpm/...", "fleet", "oprf", "replica", "roster", "sealed", "token", "vault", "vaultapi", "vaultd", "vaultd/machine"}, Why: "drives the vault from inside and from outside, to compare"},
	{Dir: "bench/compare", Local: []string{"cloud/faulty"}, Why: "drives programs, links none of them"},
}

var (
	aboveCloud   = []string{"key", "backup", "client", "vault", "replica", "oprf", "sealed", "vaultapi", "chatd", "internal/cli", "cmd/..."}
	outsideVault = []string{"key", "backup", "client", "password", "cloud/...", "chatd/...", "internal/cli"}
	behindChatd  = []string{"vault", "replica", "oprf", "key", "backup", "client"}
	pure         = []string{
		"bytes", "cmp", "container/heap", "crypto/ed25519", "crypto/hkdf", "crypto/hmac", "crypto/sha256", "crypto/sha512", "crypto/subtle",
		"encoding/binary", "errors", "fmt", "hash", "hash/crc32", "io", "iter", "log/slog", "maps", "math", "math/bits", "slices", "strconv", "strings", "sync/atomic",
	}
)

var module = sync.OnceValues(func() (*policy.Source, error) { return policy.Load(os.DirFS("../..")) })

// thisModule is the source tree that the tests are part of.
func thisModule(t *testing.T) *policy.Source {
	t.Helper()
	s, err := module()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestImports(t *testing.T) {
	report(t, policy.CheckImports(thisModule(t), rules))
}

// Modules that need cgo. A program that links one has C in it, and none of Go's memory safety there.
var withC = []string{"github.com/miekg/pkcs11"}

// Of all programs that are shipped only vaultd comes to have C in it: a PKCS#11 module is a C library.
func TestOnlyVaultdLinksC(t *testing.T) {
	s := thisModule(t)
	for _, dir := range s.Dirs() {
		if !strings.HasPrefix(dir, "cmd/") {
			continue
		}
		links := slices.ContainsFunc(policy.Dependencies(s, dir), func(m string) bool { return slices.Contains(withC, m) })
		if links && dir != "cmd/vaultd" {
			t.Errorf("%s links a module with C", dir)
		}
		if !links && dir == "cmd/vaultd" {
			t.Error("cmd/vaultd links no module with C: this test looks in the wrong place")
		}
	}
}

// load makes a module of the given files, "path: content" each, beside a minimal go.mod.
func load(t *testing.T, files map[string]string) *policy.Source {
	t.Helper()
	tree := fstest.MapFS{"go.mod": {Data: []byte("module m.example\n\ngo 1.26\n\nrequire ext.example/a v1.0.0\n")}}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	s, err := policy.Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expect compares findings with wanted parts of them, in order; no part means no finding.
func expect(t *testing.T, found []string, want ...string) {
	t.Helper()
	ok := slices.EqualFunc(found, want, strings.Contains)
	if !ok {
		t.Errorf("found %q, want %q", found, want)
	}
}

func TestImportsFindsBreaches(t *testing.T) {
	const low, high = "package low\n", "package high\n"
	both := []policy.Rule{{Dir: "low"}, {Dir: "high", Local: []string{"low"}, External: []string{"ext.example/a/..."}}}
	tests := []struct {
		name  string
		files map[string]string
		rules []policy.Rule
		want  []string
	}{
		{"allowed", map[string]string{"low/a.go": low, "high/a.go": high + `import ("m.example/low"; "ext.example/a/b"; "fmt")`}, both, nil},
		{"upward", map[string]string{"low/a.go": low + `import "m.example/high"`, "high/a.go": high}, both, []string{"low/a.go: imports m.example/high"}},
		{"upward from a test", map[string]string{"low/a.go": low, "low/a_test.go": low + `import "m.example/high"`, "high/a.go": high}, both, []string{"low/a_test.go: imports m.example/high"}},
		{"upward under a build tag", map[string]string{"low/a_windows.go": "//go:build windows\n\n" + low + `import "m.example/high"`, "high/a.go": high}, both, []string{"low/a_windows.go: imports"}},
		{"foreign module", map[string]string{"low/a.go": low + `import "ext.example/a"`, "high/a.go": high}, both, []string{"imports ext.example/a"}},
		{"module with the same beginning", map[string]string{"low/a.go": low, "high/a.go": high + `import "ext.example/ab"`}, both, []string{"imports ext.example/ab"}},
		{"cgo", map[string]string{"low/a.go": low + `import "C"`, "high/a.go": high}, both, []string{"low/a.go: imports C"}},
		{"testing in shipped code", map[string]string{"low/a.go": low + `import "testing"`, "high/a.go": high}, both, []string{"imports testing"}},
		{"missing", map[string]string{"low/a.go": low}, both, []string{"high: a rule says it exists"}},
		{"unnamed", map[string]string{"low/a.go": low}, nil, []string{"low: no rule"}},
		{"planned but there", map[string]string{"low/a.go": low}, []policy.Rule{{Dir: "low", Planned: true}}, []string{"still says planned"}},
		{"planned", map[string]string{}, []policy.Rule{{Dir: "low", Planned: true}}, nil},
		{"two rules", map[string]string{"low/a.go": low}, []policy.Rule{{Dir: "low"}, {Dir: "low"}}, []string{"low: two rules"}},
		{"impure", map[string]string{"low/a.go": low + `import ("errors"; "time")`}, []policy.Rule{{Dir: "low", Std: []string{"errors"}}}, []string{"imports time"}},
		{
			"suite in shipped code",
			map[string]string{"low/lowtest/a.go": "package lowtest\nimport \"testing\"", "high/a.go": high + `import "m.example/low/lowtest"`},
			[]policy.Rule{{Dir: "low/lowtest"}, {Dir: "high", Local: []string{"low/..."}}},
			[]string{"high/a.go: imports m.example/low/lowtest"},
		},
		{
			"through a third package",
			map[string]string{"low/a.go": low, "mid/a.go": "package mid\nimport \"m.example/low\"", "high/a.go": high + `import "m.example/mid"`},
			[]policy.Rule{{Dir: "low"}, {Dir: "mid", Local: []string{"low"}}, {Dir: "high", Local: []string{"mid"}, Never: []string{"low"}}},
			[]string{"high: reaches mid -> low"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, policy.CheckImports(load(t, tt.files), tt.rules), tt.want...)
		})
	}
}

// The module's dependencies, however deep in its packages, count once each.
func TestDependencies(t *testing.T) {
	s := load(t, map[string]string{
		"cmd/x/a.go":      "package main\nimport (\"m.example/p\"; \"ext.example/a\")",
		"p/a.go":          "package p\nimport (\"ext.example/a/sub\"; \"fmt\")",
		"p/a_test.go":     "package p\nimport \"ext.example/test\"",
		"elsewhere/b.go":  "package elsewhere\nimport \"ext.example/c\"",
		"nested/go.mod":   "module nested.example\n",
		"nested/a.go":     "package nested\nimport \"ext.example/d\"",
		"testdata/bad.go": "not Go",
	})
	expect(t, policy.Dependencies(s, "cmd/x"), "ext.example/a")
}
