package replica_test

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/vectors"
)

// The vectors of spec/replication.md §10 and §11; TestVectors runs them.

func vectorMessage(t *testing.T, v *vectors.Vector) error {
	from, to := number(t, v, "from"), number(t, v, "to")
	fields, again, err := replica.MessageFields(v.Body, from, to)
	ref, refErr := refMessage(v.Body, from)
	if (err == nil) != (refErr == nil) {
		t.Errorf("package: %v; reference: %v", err, refErr)
	}
	if err != nil {
		return err
	}
	want := map[string]string{}
	for _, f := range v.Fields {
		if !slices.Contains([]string{"comment", "expect", "type", "from", "to"}, f.Name) {
			want[f.Name] = f.Value
		}
	}
	if !bytes.Equal(again, v.Body) || !maps.Equal(fields, ref) || !maps.Equal(blank(fields), want) {
		t.Errorf("package reads %v,\nreference %v,\nwant %v", fields, ref, want)
	}
	return nil
}

// blank leaves out what is empty, for which a vector has no line.
func blank(fields map[string]string) map[string]string {
	fields = maps.Clone(fields)
	maps.DeleteFunc(fields, func(_, v string) bool { return v == "" })
	return fields
}

func meetingOf(t *testing.T, v *vectors.Vector) *replica.Meeting {
	return &replica.Meeting{Secret: octets(t, v, "secret"), From: number(t, v, "from"), To: number(t, v, "to"), Message: v.Body}
}

func boot(t *testing.T, v *vectors.Vector, name string) (b [16]byte) {
	t.Helper()
	copy(b[:], must(hex.DecodeString(field(t, v, name))))
	return b
}

func vectorSealed(t *testing.T, v *vectors.Vector) error {
	m := meetingOf(t, v)
	m.Boot, m.FromBoot = boot(t, v, "to-boot"), boot(t, v, "from-boot")
	plain, _, err := m.Open()
	ref, count, refErr := refOpen(m.Secret[:], m.From, m.To, m.FromBoot[:], m.Boot[:], v.Body)
	if (err == nil) != (refErr == nil) {
		t.Errorf("package: %v; reference: %v", err, refErr)
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(plain) != field(t, v, "message") || !bytes.Equal(plain, ref) || count != number(t, v, "counter") {
		t.Errorf("package opens %x, reference %x with counter %d", plain, ref, count)
	}
	return nil
}

func vectorHello(t *testing.T, v *vectors.Vector) error {
	m := meetingOf(t, v)
	m.Boot, m.Question = [16]byte{1}, boot(t, v, "answer")
	_, known, err := m.Open()
	ref, refErr := refHello(m.Secret[:], m.From, m.To, m.Question[:], v.Body)
	if (err == nil) != (refErr == nil) {
		t.Errorf("package: %v; reference: %v", err, refErr)
	}
	if err != nil {
		return err
	}
	question := boot(t, v, "question")
	if known != boot(t, v, "boot") || !bytes.Equal(known[:], ref) || !bytes.Equal(question[:], v.Body[34:50]) {
		t.Errorf("package believes %x, reference %x", known, ref)
	}
	return nil
}
