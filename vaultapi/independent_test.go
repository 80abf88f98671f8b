package vaultapi_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"keepsake.example/vaultapi"
)

// A second decoder, made from the tables of spec/vault-protocol.md §10 and from
// nothing of the package. A table is a list of "name:what":
//
//	16     so many bytes, in hexadecimal
//	32+    the same, not all zeros
//	1-10   u8 in that range, in decimal
//	time   u64 under 2^43, in decimal
//	*1536  u16 length from 1, and as many bytes
//	past   a history
var (
	requestTables = map[byte]string{
		1: "propose record:16 limit:1-10 private-key:32 unlock:32 device:32+ envelope:*1536",
		2: "confirm record:16 kind:0-2 authority:64",
		3: "attempt attempt:16 blinded:32",
		4: "prove attempt:16 proof-signature:64 device:32",
		5: "delete record:16 kind:0-2 authority:64",
		6: "status",
		7: "cancel record:16 kind:1-2 authority:64",
		8: "harden blinded2:33",
		9: "hardened-attempt attempt:16 blinded:32 blinded2:33",
	}
	codes        = []string{"ok", "wait", "destroyed", "none", "conflict", "unauthorised", "unsupported", "busy"}
	answerTables = map[string]string{
		"attempt":          "record:16 attempt:16 evaluated:32 proof:64 envelope:*1536",
		"hardened-attempt": "record:16 attempt:16 evaluated:32 proof:64 envelope:*1536 evaluated2:33",
		"harden":           "evaluated2:33",
		"prove":            "past:past",
		"status":           "record:16 registered:time last-success:time pending:0-2 pending-record:16 ripens:time past:past",
	}
	pendings = []string{"none", "replacement", "deletion"}
)

// fields are a message's values by name, as vectors write them.
type fields map[string]string

// table reads one table off the front of a message into f.
func (f fields) table(b []byte, table string) (rest []byte, ok bool) {
	for _, entry := range strings.Fields(table) {
		name, what, _ := strings.Cut(entry, ":")
		if f[name], b, ok = value(b, what); !ok {
			return nil, false
		}
	}
	return b, true
}

func value(b []byte, what string) (text string, rest []byte, ok bool) {
	low, high, isRange := strings.Cut(what, "-")
	switch {
	case what == "time":
		n, rest, ok := number(b, 8)
		return strconv.FormatUint(n, 10), rest, ok && n < 1<<43
	case what == "past":
		return history(b)
	case what[0] == '*':
		n, rest, ok := number(b, 2)
		limit := must(strconv.ParseUint(what[1:], 10, 16))
		if !ok || n == 0 || n > limit || uint64(len(rest)) < n {
			return "", nil, false
		}
		return hex.EncodeToString(rest[:n]), rest[n:], true
	case isRange:
		n, rest, ok := number(b, 1)
		return strconv.FormatUint(n, 10), rest, ok && n >= must(strconv.ParseUint(low, 10, 8)) && n <= must(strconv.ParseUint(high, 10, 8))
	}
	n := must(strconv.Atoi(strings.TrimSuffix(what, "+")))
	if len(b) < n {
		return "", nil, false
	}
	text = hex.EncodeToString(b[:n])
	return text, b[n:], !strings.HasSuffix(what, "+") || strings.Trim(text, "0") != ""
}

func number(b []byte, size int) (n uint64, rest []byte, ok bool) {
	if len(b) < size {
		return 0, nil, false
	}
	for _, x := range b[:size] {
		n = n*256 + uint64(x)
	}
	return n, b[size:], true
}

// history writes "time/who/attempt", joined with commas.
func history(b []byte) (text string, rest []byte, ok bool) {
	n, b, ok := number(b, 1)
	if !ok || n > 20 || uint64(len(b)) < n*32 {
		return "", nil, false
	}
	var all []string
	before := uint64(0)
	for range n {
		when, _, _ := number(b, 8)
		if when < before || when >= 1<<43 {
			return "", nil, false
		}
		before = when
		all = append(all, fmt.Sprintf("%d/%x/%x", when, b[8:16], b[16:32]))
		b = b[32:]
	}
	return strings.Join(all, ","), b, true
}

// refRequest decodes a request, or names the layer that refuses it.
func refRequest(b []byte) (f fields, layer string) {
	if len(b) < 2 || len(b) > 5848 {
		return nil, "format"
	}
	name, table, _ := strings.Cut(requestTables[b[1]], " ")
	if b[0] != 1 || name == "" {
		return nil, "unsupported"
	}
	f = fields{"name": name}
	rest, ok := f.table(b[2:], "token:*4096 bound:0-1")
	if ok && f["bound"] == "1" {
		rest, ok = f.table(rest, "key:32 signature:64")
	}
	if ok {
		rest, ok = f.table(rest, table)
	}
	if !ok || len(rest) > 0 || f["kind"] == "0" && strings.Trim(f["authority"], "0") != "" {
		return nil, "format"
	}
	return f, ""
}

// refAnswer decodes an answer, or names the layer that refuses it.
func refAnswer(to string, b []byte) (f fields, layer string) {
	if len(b) < 2 || len(b) > 1719 {
		return nil, "format"
	}
	if b[0] != 1 {
		return nil, "unsupported"
	}
	f = fields{"to": to}
	rest, ok := f.table(b[1:], "code:0-7 left:0-10 limit:0-10 time:time next:time")
	if !ok || b[2] > b[3] {
		return nil, "format"
	}
	f["code"] = codes[b[1]]
	table := ""
	switch f["code"] {
	case "ok":
		table = answerTables[to]
	case "destroyed":
		table = "when:time"
	case "unsupported", "busy":
		ok = f["left"] == "0" && f["limit"] == "0" && f["next"] == "0"
	}
	if ok {
		rest, ok = f.table(rest, table)
	}
	if !ok || len(rest) > 0 || !f.pending() {
		return nil, "format"
	}
	return f, ""
}

// pending checks and names the kind of a pending change, if there is one to name.
func (f fields) pending() bool {
	kind := f["pending"]
	if kind == "" {
		return true
	}
	f["pending"] = pendings[must(strconv.Atoi(kind))]
	switch kind {
	case "0":
		return strings.Trim(f["pending-record"], "0") == "" && f["ripens"] == "0"
	case "2":
		return f["pending-record"] == f["record"]
	}
	return true
}

// describeRequest writes what the package decoded in the same form.
func describeRequest(r *vaultapi.Request) fields {
	f := fields{"name": r.Body.Type().String(), "token": hex.EncodeToString([]byte(r.Token)), "bound": "0"}
	if r.Bound {
		f["bound"], f["key"], f["signature"] = "1", hex.EncodeToString(r.Key[:]), hex.EncodeToString(r.Signature[:])
	}
	authority := func(record vaultapi.ID, a vaultapi.Authority) {
		f["record"], f["kind"], f["authority"] = record.String(), fmt.Sprint(uint8(a.Kind)), hex.EncodeToString(a.Signature[:])
	}
	switch b := r.Body.(type) {
	case *vaultapi.ProposeBody:
		f["record"], f["limit"], f["envelope"] = b.Record.String(), fmt.Sprint(b.Limit), hex.EncodeToString(b.Envelope)
		f["unlock"], f["device"] = hex.EncodeToString(b.Unlock[:]), hex.EncodeToString(b.Device[:])
		b.Key.Use(func(k *[32]byte) { f["private-key"] = hex.EncodeToString(k[:]) })
	case *vaultapi.ConfirmBody:
		authority(b.Record, b.Authority)
	case *vaultapi.AttemptBody:
		f["attempt"], f["blinded"] = b.Attempt.String(), hex.EncodeToString(b.Blinded[:])
	case *vaultapi.HardenBody:
		f["blinded2"] = hex.EncodeToString(b.Blinded2[:])
	case *vaultapi.HardenedAttemptBody:
		f["attempt"], f["blinded"], f["blinded2"] = b.Attempt.String(), hex.EncodeToString(b.Blinded[:]), hex.EncodeToString(b.Blinded2[:])
	case *vaultapi.ProveBody:
		f["attempt"], f["proof-signature"], f["device"] = b.Attempt.String(), hex.EncodeToString(b.Signature[:]), hex.EncodeToString(b.Device[:])
	case *vaultapi.DeleteBody:
		authority(b.Record, b.Authority)
	case *vaultapi.CancelBody:
		authority(b.Record, b.Authority)
	}
	return f
}

// describeAnswer writes what the package decoded in the same form.
func describeAnswer(to vaultapi.Type, a *vaultapi.Answer) fields {
	f := fields{
		"to": to.String(), "code": a.Code.String(), "left": fmt.Sprint(a.Left), "limit": fmt.Sprint(a.Limit),
		"time": fmt.Sprint(a.Time), "next": fmt.Sprint(a.Next),
	}
	switch b := a.Body.(type) {
	case *vaultapi.Evaluation:
		describeEvaluation(f, b)
	case *vaultapi.HardenedEvaluation:
		describeEvaluation(f, &b.Evaluation)
		f["evaluated2"] = hex.EncodeToString(b.Evaluated2[:])
	case *vaultapi.Hardened:
		f["evaluated2"] = hex.EncodeToString(b.Evaluated2[:])
	case *vaultapi.History:
		f["past"] = describePast(b.Past)
	case *vaultapi.StatusReport:
		f["record"], f["registered"], f["last-success"] = b.Record.String(), fmt.Sprint(b.Registered), fmt.Sprint(b.LastSuccess)
		f["pending"], f["pending-record"], f["ripens"] = b.Pending.String(), b.PendingRecord.String(), fmt.Sprint(b.Ripens)
		f["past"] = describePast(b.Past)
	case *vaultapi.Destruction:
		f["when"] = fmt.Sprint(b.When)
	}
	return f
}

func describeEvaluation(f fields, e *vaultapi.Evaluation) {
	f["record"], f["attempt"], f["evaluated"] = e.Record.String(), e.Attempt.String(), hex.EncodeToString(e.Evaluated[:])
	f["proof"], f["envelope"] = hex.EncodeToString(e.Proof[:]), hex.EncodeToString(e.Envelope)
}

func describePast(past []vaultapi.Past) string {
	var all []string
	for _, p := range past {
		all = append(all, fmt.Sprintf("%d/%x/%v", p.Time, p.Who, p.Attempt))
	}
	return strings.Join(all, ",")
}
