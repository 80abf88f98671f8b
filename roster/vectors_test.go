package roster_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/roster"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/roster, whose names are listed in spec/replication.md
// §15.7. They were made by another program, from the text.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector) error{
		"change": vectorChange, "signed": vectorSigned, "roster": vectorRoster, "apply": vectorApply,
	}
	layers := map[string]bool{
		"form": false, "signed": false, "text": false, "fleet": false, "serial": false, "stranger": false, "signature": false, "quorum": false, "weaker": false,
		"unchanged": false, "absent": false, "taken": false, "placed": false, "voters": false, "range": false,
	}
	for _, v := range must(vectors.All("roster")) {
		t.Run(v.Path, func(t *testing.T) {
			expect, kind := field(t, v, "expect"), field(t, v, "type")
			if run[kind] == nil {
				t.Fatalf("unknown type %q", kind)
			}
			err := run[kind](t, v)
			if expect != "refused" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := field(t, v, "layer")
			if got := layerOf(err); got != want {
				t.Errorf("%v is layer %q, want %q", err, got, want)
			}
			layers[want] = true
		})
	}
	for layer, ran := range layers {
		if !ran {
			t.Errorf("no vector is refused at layer %q", layer)
		}
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

// layerOf names what refused.
func layerOf(err error) string {
	var refusal *roster.Refusal
	switch {
	case errors.As(err, &refusal):
		return string(refusal.Code)
	case errors.Is(err, roster.ErrText):
		return "text"
	case errors.Is(err, roster.ErrSigned):
		return "signed"
	case errors.Is(err, roster.ErrRoster):
		return "form"
	}
	return fmt.Sprint(err)
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

func digest(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

func vectorChange(t *testing.T, v *vectors.Vector) error {
	c, err := roster.ParseChange(string(v.Body))
	if err != nil {
		return err
	}
	if again := must(c.Text()); again != string(v.Body) {
		t.Errorf("written as %q", again)
	}
	var names []string
	for _, o := range c.Operators {
		if o != operatorAt(o.Name) {
			t.Errorf("operator %s has another key", o.Name)
		}
		names = append(names, o.Name)
	}
	hasFields(t, v, map[string]any{
		"kind": c.Kind, "serial": c.Serial, "group": c.Group, "because": c.Because, "member": c.Member.Number, "name": c.Member.Name,
		"data-center": c.Member.DataCenter, "address": c.Member.Address, "identity": hex.EncodeToString(c.Member.Identity[:]),
		"sealing-digest": digest(c.Member.Sealing), "max-attempts": c.Policy.MaxAttempts,
		"waits":     strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Policy.Waits), " ", ","), "[]"),
		"cool-down": c.Policy.CoolDown, "grace": c.Policy.Grace, "insecure": c.Policy.Insecure,
		"minimum-version": c.MinVersion, "tolerate": c.Tolerate, "quorum": c.Quorum, "operators": strings.Join(names, ","),
	})
	return nil
}

// operatorAt is an operator of the vectors: the seed is SHA-256 of "operator " and the name.
func operatorAt(name string) roster.Operator {
	o := operator(" " + name)
	o.Name = name
	return o
}

func vectorSigned(t *testing.T, v *vectors.Vector) error {
	s, err := roster.DecodeSigned(v.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(s.Encode(), v.Body) {
		t.Errorf("written as %x", s.Encode())
	}
	var keys []string
	again := &roster.Signed{Text: s.Text}
	for _, g := range s.Signatures {
		keys = append(keys, hex.EncodeToString(g.Key[:]))
		if err := again.Add(g); err != nil {
			t.Error(err)
		}
	}
	hasFields(t, v, map[string]any{"text-digest": digest([]byte(s.Text)), "signatures": len(s.Signatures), "keys": strings.Join(keys, ",")})
	return nil
}

func vectorRoster(t *testing.T, v *vectors.Vector) error {
	r, err := roster.Decode(v.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Encode(), v.Body) {
		t.Errorf("written as %x", r.Encode())
	}
	hasFields(t, v, map[string]any{
		"serial": r.Serial, "members": len(r.Members), "operators": len(r.Operators), "quorum": r.Quorum, "highest": r.Highest, "hardening": hex.EncodeToString(r.Hardening[:]),
		"in-1": strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers(r, 1)), " ", ","), "[]"),
	})
	return nil
}

func vectorApply(t *testing.T, v *vectors.Vector) error {
	path := "roster/" + field(t, v, "before")
	before := must(vectors.Parse(path, must(vectors.FS.ReadFile(path))))
	r := must(roster.Decode(before.Body))
	s := must(roster.DecodeSigned(v.Body))
	if _, err := r.Apply(s); err != nil {
		return err
	}
	if got, want := digest(r.Encode()), field(t, v, "after-digest"); got != want {
		t.Errorf("after it %s, want %s: %x", got, want, r.Encode())
	}
	return nil
}
