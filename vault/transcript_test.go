package vault_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/vaultapi"
)

var update = flag.Bool("update", false, "write the transcripts as they are now; only if you understand what changed them")

// TestTranscripts runs testdata/*.txt: what people with a token for one account
// ask, a line each, and what they are answered, indented. "by unlock old" means
// signed by the unlock key of the record with the password "old".
func TestTranscripts(t *testing.T) {
	files := must(filepath.Glob("testdata/*.txt"))
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := string(must(os.ReadFile(file)))
			got := perform(t, text)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(strings.Split(text, "\n"), strings.Split(got, "\n")); diff != "" && !*update {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if len(files) == 0 {
		t.Error("no transcripts")
	}
}

func perform(t *testing.T, text string) string {
	w := newWorld(t, policy())
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue // an answer
		}
		fmt.Fprintln(&out, line)
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(line, "#") {
			fmt.Fprint(&out, w.say(f))
		}
	}
	return out.String()
}

// say performs one line.
func (w *world) say(f []string) string {
	switch f[0] {
	case "pass":
		w.pass(uint64(must(time.ParseDuration(f[1])).Milliseconds()))
		return ""
	case "restart":
		w.reload()
		return ""
	}
	p := w.person("account")
	p.who = [8]byte([]byte((f[0] + "        ")[:8]))
	return w.show(p.ask(p.request(f[1:])))
}

// request is the body of a line behind who asks.
func (p *person) request(f []string) vaultapi.Body {
	by, kind := (*secret)(nil), vaultapi.ByNobody
	if n := len(f); n > 3 && f[n-3] == "by" {
		by, kind, f = password(f[n-1], 0), map[string]vaultapi.Kind{"unlock": vaultapi.ByUnlock, "device": vaultapi.ByDevice}[f[n-2]], f[:n-3]
	}
	sign := func(message func() []byte) (a vaultapi.Authority) {
		if by != nil {
			a = by.sign(kind, message())
		}
		return a
	}
	limit := uint8(10)
	if len(f) > 2 {
		limit = uint8(must(strconv.Atoi(f[2])))
	}
	switch f[0] {
	case "propose":
		return password(f[1], limit).proposal
	case "confirm":
		next := password(f[1], limit)
		return &vaultapi.ConfirmBody{Record: next.record, Authority: sign(func() []byte {
			return vaultapi.ConfirmMessage(p.w.fleet, p.account, by.record, next.proposal.Digest())
		})}
	case "attempt":
		return newGuess(f[1]).body()
	case "prove":
		return p.proof(newGuess(f[1]), by, nil)
	case "delete":
		return &vaultapi.DeleteBody{Record: id("record", f[1]), Authority: sign(func() []byte { return vaultapi.DeleteMessage(p.w.fleet, p.account, by.record) })}
	case "cancel":
		pending := id("record", f[1])
		return &vaultapi.CancelBody{Record: pending, Authority: sign(func() []byte { return vaultapi.CancelMessage(p.w.fleet, p.account, by.record, pending) })}
	}
	return &vaultapi.StatusBody{}
}

// show is an answer as text, with times from now on.
func (w *world) show(a *vaultapi.Answer) string {
	text := fmt.Sprintf("    %v", a.Code)
	if a.Limit > 0 {
		text += fmt.Sprintf(", %d of %d left", a.Left, a.Limit)
	}
	if a.Next > 0 {
		text += fmt.Sprintf(", next in %v", w.from(a.Next))
	}
	past := []vaultapi.Past(nil)
	switch b := a.Body.(type) {
	case *vaultapi.Evaluation:
		text += ", evaluated"
	case *vaultapi.Destruction:
		text += fmt.Sprintf(", %v ago", -w.from(b.When))
	case *vaultapi.History:
		past = b.Past
	case *vaultapi.StatusReport:
		past = b.Past
		if b.Pending != vaultapi.NoPending {
			text += fmt.Sprintf(", pending: %s", []string{"", "replacement", "deletion"}[b.Pending])
		}
		if b.Ripens > 0 {
			text += fmt.Sprintf(" in %v", w.from(b.Ripens))
		}
	}
	for _, e := range past {
		text += fmt.Sprintf("\n    %v ago: %s", -w.from(e.Time), strings.TrimSpace(string(e.Who[:])))
	}
	return text + "\n"
}

func (w *world) from(t uint64) time.Duration {
	return time.Duration(int64(t)-int64(w.now)) * time.Millisecond
}
