package policy_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"keepsake.example/internal/policy"
)

// The module of the clouds' SDKs has its own rules: what is in it may use the interface of the
// storage and what prints and writes files, and nothing that knows what is backed up.
var cloudRules = []policy.Rule{
	{
		Dir: ".", External: append([]string{
			"keepsake.example/cloud", "github.com/aws/smithy-go/...", "github.com/dropbox/dropbox-sdk-go-unofficial/v6/...", "github.com/pkg/sftp",
			"github.com/prometheus/...", "golang.org/x/oauth2", "golang.org/x/sync/errgroup", "google.golang.org/api/googleapi",
		}, rcloneCloud...),
		Tests: []string{"servertest", "keepsake.example/cloud/cloudtest", "keepsake.example/cloud/faulty", "keepsake.example/cloud/retry", "keepsake.example/internal/mounttest"},
		Never: []string{"account", "cmd/..."},
		Why:   "a store over rclone knows nothing of who signs in, nor of what is stored",
	},
	{
		Dir: "account", Local: []string{"."},
		External: []string{"keepsake.example/cloud", "keepsake.example/internal/durable", "github.com/rclone/rclone/...", "github.com/zalando/go-keyring", "golang.org/x/crypto/ssh/...", "golang.org/x/oauth2"},
		Tests:    []string{"fakedrive", "fakeicloud"},
		Never:    []string{"cmd/..."},
		Why:      "who signs in where knows nothing of what is stored",
	},
	{
		Dir: "cmd/keepsake-cloud", Local: []string{".", "account"},
		External: []string{"keepsake.example/cloud", "keepsake.example/cloud/process", "keepsake.example/internal/cli", "keepsake.example/internal/command", "github.com/skratchdot/open-golang/open"},
		Tests:    []string{"fakedrive", "fakeicloud", "keepsake.example/cloud/dir", "keepsake.example/internal/mounttest", "golang.org/x/crypto/ssh"},
		Why:      "speaks to clouds in a process that never has a key: no backup, no client",
	},
	{Dir: "servertest", External: []string{"keepsake.example/internal/mounttest", "github.com/rclone/rclone/...", "golang.org/x/crypto/ssh"}, Why: "starts servers for tests, and knows nothing of what asks them"},
	{Dir: "servers/rclone", External: []string{"github.com/rclone/rclone/..."}, Why: "rclone's own program, to test against and to compare with"},
	{Dir: "fakenet", Why: "a network for tests, which knows nothing of what is on it"},
	{Dir: "fakedrive", Local: []string{"fakenet"}, Tests: append([]string{"."}, fakesTests...), Why: "plays a cloud, and knows nothing of what asks it"},
	{Dir: "fakedrive/fake-drive", Local: []string{"fakedrive"}, Why: "a fake by itself, for programs that are tried against it"},
	{Dir: "fakeicloud/fake-icloud", Local: []string{"fakeicloud"}, Why: "a fake by itself, for programs that are tried against it"},
	{Dir: "fakeicloud", Local: []string{"fakenet"}, Tests: append([]string{".", "account", "github.com/rclone/rclone/..."}, fakesTests...), Why: "plays a cloud, and knows nothing of what asks it"},
}

var (
	rcloneCloud = []string{"github.com/rclone/rclone/backend/...", "github.com/rclone/rclone/fs/...", "github.com/rclone/rclone/lib/..."}
	fakesTests  = []string{"keepsake.example/cloud/...", "keepsake.example/backup", "keepsake.example/key"}
)

var cloudModule = sync.OnceValues(func() (*policy.Source, error) { return policy.Load(os.DirFS("../../cloud/rclone")) })

// TestCloudModule holds the nested module to what the tests above hold this one to.
func TestCloudModule(t *testing.T) {
	s, err := cloudModule()
	if err != nil {
		t.Fatal(err)
	}
	report(t, policy.CheckImports(s, cloudRules))
	report(t, policy.CheckSizes(s))
	report(t, policy.CheckDocs(s))
	report(t, policy.CheckFormat(s))
	report(t, policy.CheckSkips(s, ""))
}

// The programs of this module link no cloud's SDK: whoever opens a backup runs none of their code.
func TestNoProgramLinksRclone(t *testing.T) {
	s := thisModule(t)
	for _, dir := range s.Dirs() {
		for _, m := range policy.Dependencies(s, dir) {
			if strings.HasPrefix(m, "github.com/rclone/") || strings.HasPrefix(m, "keepsake.example/cloud/rclone") {
				t.Errorf("%s links %s", dir, m)
			}
		}
	}
}
