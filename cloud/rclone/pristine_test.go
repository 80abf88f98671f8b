package rclone_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/rclone/fs"

	"keepsake.example/cloud/rclone"
)

// TestEnvironment runs itself with a hostile environment: nothing of rclone's
// variables has a part in how clouds are spoken to.
func TestEnvironment(t *testing.T) {
	if dir := os.Getenv("KEEPSAKE_TEST_DIR"); dir != "" {
		showConfig(t, dir)
		return
	}
	show := func(env ...string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "out")
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEnvironment$")
		c.Env = append(os.Environ(), append(env, "KEEPSAKE_TEST_DIR="+out)...)
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		text, err := os.ReadFile(filepath.Join(out, "config"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := show()
	got := show("RCLONE_NO_CHECK_CERTIFICATE=true", "RCLONE_DUMP=headers,bodies,auth", "RCLONE_HTTP_PROXY=http://proxy.example", "RCLONE_CA_CERT=/dev/null",
		"RCLONE_HEADER=X-Evil: 1", "RCLONE_BIND=192.0.2.1", "RCLONE_LOG_LEVEL=DEBUG", "RCLONE_BWLIMIT=1", "RCLONE_DRY_RUN=true", "RCLONE_USER_AGENT=other", "RCLONE_USE_COOKIES=true",
		"RCLONE_CLIENT_CERT=/x", "RCLONE_CLIENT_KEY=/x", "RCLONE_LOCAL_CASE_SENSITIVE=false", "RCLONE_TIMEOUT=1h", "RCLONE_DISABLE_HTTP2=true")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rclone's variables change its settings (-without, +with):\n%s", d)
	}
	if !strings.Contains(want, "InsecureSkipVerify:false") {
		t.Errorf("settings: %s", want)
	}
}

func showConfig(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := dump(*fs.GetConfig(context.Background()))
	s, err := rclone.Open(t.Context(), rclone.Config{Backend: "local", Root: filepath.Join(dir, "store"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := first + "\n" + dump(*fs.GetConfig(context.Background()))
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(strings.ReplaceAll(text, " ", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dump shows all settings, those behind pointers too.
func dump(c fs.ConfigInfo) string {
	text := fmt.Sprintf("%+v", c)
	return regexp.MustCompile(`0x[0-9a-f]+`).ReplaceAllString(text, "pointer")
}
