package main

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

// Who reads what was changed reads who signed it, and can export that; a signature that does
// not hold is not shown as one.
func TestShowChanges(t *testing.T) {
	s := must(parseSigned(signedChange()))
	list := []vaultd.SignedChange{{Text: s.Text}}
	for i, g := range s.Signatures {
		list[0].Signatures = append(list[0].Signatures, vaultd.ChangeSignature{
			Operator: []string{"alice\x1b", ""}[i], Key: hex.EncodeToString(g.Key[:]), Signature: hex.EncodeToString(g.Signature[:]),
		})
	}
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(list) }))
	defer admin.Close()
	show := []string{"operator", "show", "--changes", "--admin", strings.TrimPrefix(admin.URL, "http://")}
	keys := []string{list[0].Signatures[0].Key, list[0].Signatures[1].Key}
	r := vault(t, show...).wants(t, command.Done, "remove member 4\nbecause: stolen\nsigned by alice?, "+keys[0]+"\nsigned by an operator of before, "+keys[1]+"\n")
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("printed: %q", r.out)
	}
	var all struct{ Changes []vaultd.SignedChange }
	if err := json.Unmarshal([]byte(vault(t, append(show, "--json")...).wants(t, command.Done).out), &all); err != nil || len(all.Changes) != 1 || all.Changes[0].Signatures[1].Key != keys[1] {
		t.Errorf("exported: %+v, %v", all, err)
	}
	list[0].Text = strings.Replace(s.Text, "member 4", "member 3", 1)
	vault(t, show...).wants(t, command.Failed, "does not hold")
	list[0].Text, list[0].Signatures[0].Key = s.Text, "ab"
	vault(t, show...).wants(t, command.Failed, "no signature")
}
