package vault_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/vault, whose names are listed in spec/replication.md §9.3.
// The vectors were made by another program, from the text.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector){
		"decoded": vectorDecoded, "loaded": vectorLoaded, "applied": vectorApplied, "refused": vectorRefused,
	}
	ran := map[string]bool{}
	for _, v := range must(vectors.All("vault")) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect+field(t, v, "type")] = true
			run[expect](t, v)
		})
	}
	if len(ran) != 5 {
		t.Errorf("vectors of the kinds %v only", ran)
	}
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

// hasFields compares lines of the vector that are there with values.
func hasFields(t *testing.T, v *vectors.Vector, values map[string]any) {
	t.Helper()
	for _, f := range v.Fields {
		got, ok := values[f.Name]
		if !ok && f.Name != "comment" && f.Name != "expect" && f.Name != "type" {
			t.Errorf("unknown line %q", f.Name)
		}
		if text := fmt.Sprint(got); ok && text != f.Value {
			t.Errorf("%s: %s, want %s", f.Name, text, f.Value)
		}
	}
}

func vectorDecoded(t *testing.T, v *vectors.Vector) {
	c, err := vault.DecodeCommand(v.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Encode(), v.Body) {
		t.Errorf("encoded as %x", c.Encode())
	}
	request := []byte{}
	if c.Body != nil {
		request = vaultapi.EncodeBody(c.Body)
	}
	hasFields(t, v, map[string]any{
		"kind": c.Kind, "time": c.Time, "fleet": hex.EncodeToString(c.Fleet[:]), "identity-seed": hex.EncodeToString(c.IdentitySeed[:]),
		"naming-key": hex.EncodeToString(c.NamingKey[:]), "max-attempts": c.Policy.MaxAttempts,
		"waits":     strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Policy.Waits), " ", ","), "[]"),
		"cool-down": c.Policy.CoolDown, "grace": c.Policy.Grace, "insecure": c.Policy.Insecure,
		"seed": hex.EncodeToString(c.ChannelKey.Seed[:]), "not-before": c.ChannelKey.NotBefore, "not-after": c.ChannelKey.NotAfter,
		"account": hex.EncodeToString(c.Account[:]), "who": hex.EncodeToString(c.Who[:]), "random": hex.EncodeToString(c.Random[:]),
		"request": hex.EncodeToString(request),
	})
}

func vectorLoaded(t *testing.T, v *vectors.Vector) {
	w := &world{t: t, state: must(vault.Load(bytes.NewReader(v.Body)))}
	if got := w.checkpoint(); !bytes.Equal(got, v.Body) {
		t.Errorf("written as %x", got)
	}
	view, counts := w.state.Fleet(), w.state.Counts()
	hasFields(t, v, map[string]any{
		"records": counts.Records, "tombstones": counts.Tombstones, "pending": counts.Pending,
		"fleet": hex.EncodeToString(view.ID[:]), "time": view.Time, "serial": view.Serial,
	})
}

func vectorApplied(t *testing.T, v *vectors.Vector) {
	w := &world{t: t, state: vault.New()}
	for _, entry := range strings.Split(field(t, v, "commands"), ",") {
		must(w.state.Apply(must(vault.DecodeCommand(must(hex.DecodeString(entry))))))
	}
	if got := w.checkpoint(); !bytes.Equal(got, v.Body) {
		t.Errorf("the state is\n     %x\nwant %x", got, v.Body)
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector) {
	var err error
	switch kind := field(t, v, "type"); kind {
	case "command":
		_, err = vault.DecodeCommand(v.Body)
	case "picture":
		_, err = vault.Load(bytes.NewReader(v.Body))
	default:
		t.Fatalf("unknown type %q", kind)
	}
	if err == nil {
		t.Error("accepted")
	}
}
