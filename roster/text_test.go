package roster_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepsake.example/roster"
)

// What is signed is what people read, to the byte.
func TestTexts(t *testing.T) {
	r, all := history()
	longest := next(r, roster.Add, newcomer(9))
	longest.Member.Name, longest.Member.Address = strings.Repeat("n", roster.MaxName), strings.Repeat("a", roster.MaxAddress-6)+":65535"
	longest.Because = strings.Repeat("b", roster.MaxReason)
	names := next(r, roster.SetOperators, func(c *roster.Change) { c.Operators, c.Quorum = fullest().Operators, 16 })
	for _, c := range []*roster.Change{longest, names} {
		all = append(all, &roster.Signed{Text: must(c.Text())})
	}
	want := []string{
		"add member 6 as learner", "add member 7 as learner", "remove member 7 from group 3", "promote member 6", "demote member 2",
		"remove member 7 from group 2", "promote member 2 in group 2", "demote member 6 in group 2", "remove member 6 from group 2",
		"add member 8 as learner", "add member 8 to group 2 as learner", "set address of member 3", "set policy",
		"set minimum version 4294967295", "set tolerated rollbacks 1", "set operators: 3 of 4 sign", "change nothing",
	}
	for i, s := range all {
		lines := strings.Split(s.Text, "\n")
		if lines[0] != "keepsake fleet change v1" || i < len(want) && lines[3] != want[i] || lines[len(lines)-1] != "" {
			t.Errorf("change %d reads\n%s", i+1, s.Text)
		}
		for _, l := range lines {
			if len(l) >= 100 {
				t.Errorf("change %d has a line of %d bytes: %s", i+1, len(l), l)
			}
		}
	}
	if got := all[12].Text[strings.Index(all[12].Text, "set"):]; got != `set policy
at most 4 attempts
after attempt 1 wait 0s
after attempt 2 wait 1500ms
after attempt 3 wait 90m
cool-down 30d
grace 0s
insecure no
` {
		t.Errorf("a policy reads\n%s", got)
	}
}

func TestTextRoundTrip(t *testing.T) {
	r := founded(5)
	for _, make := range everyChange() {
		c := make(r)
		text := must(c.Text())
		got, err := roster.ParseChange(text)
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if diff := cmp.Diff(c, got, cmpopts.EquateEmpty()); diff != "" || len(text) > roster.MaxText {
			t.Errorf("%d bytes, read as (-want +got):\n%s", len(text), diff)
		}
		must(r.Apply(signed(c, "alice", "carol", "eve")))
	}
}

// canonical checks that a text is refused, or is the one text of what it is read as.
func canonical(t *testing.T, text string) {
	t.Helper()
	c, err := roster.ParseChange(text)
	if err != nil {
		if c != nil || !errors.Is(err, roster.ErrText) {
			t.Errorf("%q: %v, %v", text, c, err)
		}
		return
	}
	if again, err := c.Text(); again != text || err != nil {
		t.Errorf("%q\nis written as\n%q, %v", text, again, err)
	}
}

// Every truncation, and every change of one byte, is refused or is the one text of
// another change: nothing can be read in two ways.
func TestMangledText(t *testing.T) {
	_, all := history()
	for i, s := range all {
		text := []byte(s.Text)
		if len(text) > 1000 && i > 0 {
			continue // one sealing key is enough
		}
		for n := range text {
			canonical(t, s.Text[:n])
			for _, x := range []byte{text[n] ^ 1, text[n] ^ 0x20, text[n] ^ 0x80, ' ', '\n', '\r', 0} {
				m := bytes.Clone(text)
				m[n] = x
				canonical(t, string(m))
			}
		}
		for _, end := range []string{" ", "\n", "\x00", "because: no", "remove member 1\n"} {
			if _, err := roster.ParseChange(s.Text + end); !errors.Is(err, roster.ErrText) {
				t.Errorf("with %q after it: %v", end, err)
			}
		}
	}
}

// FuzzParseChange: what is accepted is the one text of what it is read as.
func FuzzParseChange(f *testing.F) {
	_, all := history()
	for _, s := range all {
		if len(s.Text) < 1000 { // the fuzzer would lose itself in a sealing key
			f.Add(s.Text)
		}
	}
	f.Fuzz(canonical)
}

// Each is nearly a text.
func TestTextsRefused(t *testing.T) {
	const head = "keepsake fleet change v1\nfleet 8fba28abfcd6dee80f5f0b910adfefcc13f97dcb3d4367d053926b484d2f6863\nserial 7\n"
	if _, err := roster.ParseChange(head + "remove member 4\nbecause: it is gone\n"); err != nil {
		t.Fatal(err)
	}
	operators := "set operators: 1 of 2 sign\noperator alice " + strings.Repeat("aa", 32) + "\noperator bob " + strings.Repeat("bb", 32) + "\n"
	if _, err := roster.ParseChange(head + operators); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"version":              strings.Replace(head, "v1", "v2", 1) + "remove member 4\n",
		"a title more":         "keepsake fleet change v1\n" + head + "remove member 4\n",
		"upper case":           strings.Replace(head, "8fba", "8FBA", 1) + "remove member 4\n",
		"short fleet":          strings.Replace(head, "8fba", "", 1) + "remove member 4\n",
		"serial 0":             strings.Replace(head, "serial 7", "serial 0", 1) + "remove member 4\n",
		"serial 07":            strings.Replace(head, "serial 7", "serial 07", 1) + "remove member 4\n",
		"serial +7":            strings.Replace(head, "serial 7", "serial +7", 1) + "remove member 4\n",
		"serial 7_0":           strings.Replace(head, "serial 7", "serial 7_0", 1) + "remove member 4\n",
		"serial over 64 bits":  strings.Replace(head, "serial 7", "serial 18446744073709551616", 1) + "remove member 4\n",
		"no action":            head,
		"reason only":          head + "because: of this\n",
		"two actions":          head + "remove member 4\nremove member 5\n",
		"member 0":             head + "remove member 0\n",
		"member over 32 bits":  head + "remove member 4294967296\n",
		"root group named":     head + "remove member 4 from group 0\n",
		"group over all":       head + "remove member 4 from group 256\n",
		"word":                 head + "delete member 4\n",
		"two spaces":           head + "remove  member 4\n",
		"tab":                  head + "remove\tmember 4\n",
		"carriage return":      head + "remove member 4\r\n",
		"no line end":          head + "remove member 4",
		"empty reason":         head + "remove member 4\nbecause: \n",
		"spaces for a reason":  head + "remove member 4\nbecause:  x\n",
		"space after a reason": head + "remove member 4\nbecause: x \n",
		"open reason":          head + "remove member 4\nbecause: x",
		"two reasons":          head + "remove member 4\nbecause: x\nbecause: y\n",
		"long reason":          head + "remove member 4\nbecause: " + strings.Repeat("x", 81) + "\n",
		"reason in Cyrillic":   head + "remove member 4\nbecause: m\u0435mber\n",
		"reason with escape":   head + "remove member 4\nbecause: \x1b[2Kremove member 5\n",
		"address":              head + "set address of member 4\naddress nowhere\n",
		"policy cut":           head + "set policy\nat most 10 attempts\n",
		"no attempts":          head + "set policy\nat most 0 attempts\ncool-down 7d\ngrace 1h\ninsecure no\n",
		"eleven attempts":      head + "set policy\nat most 11 attempts\n" + strings.Repeat("after attempt 1 wait 0s\n", 10) + "cool-down 7d\ngrace 1h\ninsecure no\n",
		"waits out of order":   head + "set policy\nat most 2 attempts\nafter attempt 2 wait 0s\ncool-down 7d\ngrace 1h\ninsecure no\n",
		"waits that fall":      head + "set policy\nat most 3 attempts\nafter attempt 1 wait 1s\nafter attempt 2 wait 0s\ncool-down 7d\ngrace 1h\ninsecure no\n",
		"7 days in hours":      head + "set policy\nat most 1 attempts\ncool-down 168h\ngrace 1h\ninsecure no\n",
		"no unit":              head + "set policy\nat most 1 attempts\ncool-down 7\ngrace 1h\ninsecure no\n",
		"two units":            head + "set policy\nat most 1 attempts\ncool-down 7d\ngrace 1h1m\ninsecure no\n",
		"0 days":               head + "set policy\nat most 1 attempts\ncool-down 0d\ngrace 1h\ninsecure no\n",
		"over a year":          head + "set policy\nat most 1 attempts\ncool-down 367d\ngrace 1h\ninsecure no\n",
		"overflow":             head + "set policy\nat most 1 attempts\ncool-down 213503982335d\ngrace 1h\ninsecure no\n",
		"perhaps insecure":     head + "set policy\nat most 1 attempts\ncool-down 7d\ngrace 1h\ninsecure maybe\n",
		"tolerate 256":         head + "set tolerated rollbacks 256\n",
		"no operator signs":    head + strings.Replace(operators, "1 of", "0 of", 1),
		"three of two sign":    head + strings.Replace(operators, "1 of", "3 of", 1),
		"one operator more":    head + strings.Replace(operators, "of 2", "of 1", 1),
		"one operator less":    head + strings.Replace(operators, "of 2", "of 3", 1),
		"operators in another order": head + "set operators: 1 of 2 sign\noperator bob " + strings.Repeat("aa", 32) +
			"\noperator alice " + strings.Repeat("bb", 32) + "\n",
		"an operator twice":  head + strings.Replace(operators, "bob", "alice", 1),
		"a key twice":        head + strings.Replace(operators, "bb", "aa", 32),
		"a name of nothing":  head + strings.Replace(operators, "alice", "", 1),
		"a long name":        head + strings.Replace(operators, "alice", strings.Repeat("a", 25), 1),
		"a name in capitals": head + strings.Replace(operators, "alice", "Alice", 1),
		"too long":           head + "remove member 4\n" + strings.Repeat("x", roster.MaxText),
	} {
		if c, err := roster.ParseChange(text); !errors.Is(err, roster.ErrText) {
			t.Errorf("%s: read as %+v, %v", name, c, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	r := founded(1)
	for address, want := range map[string]bool{
		"10.0.0.1:1": true, "vault.example.org:65535": true, "localhost:7420": true, "[::1]:7420": true, "[2001:db8::1]:7420": true, "a:1": true,
		"1e3:1": true, strings.Repeat("a", 88) + ":1": true,
		"": false, ":1": false, "a:": false, "a": false, "a:0": false, "a:01": false, "a:65536": false, "a:-1": false, "A:1": false, "a b:1": false,
		"::1:7420": false, "[::1]": false, "[::1%eth0]:1": false, "[0::1]:1": false, "[10.0.0.1]:1": false, "[a]:1": false, "[::1:1": false, "::1]:1": false,
		"10.0.0:1": false, "010.0.0.1:1": false, "10.0.0.256:1": false, "a.1:1": false, "a.:1": false, "a\n:1": false, "a_b:1": false,
		"a:1\nremove member 2": false, strings.Repeat("a", 89) + ":1": false,
	} {
		c := next(r, roster.SetAddress, about(0, 1))
		c.Member.Address = address
		text, err := c.Text()
		if (err == nil) != want || err != nil && (text != "" || !errors.Is(err, roster.ErrText)) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// A value that would say something else in a text is in none.
func TestTextRefusesValues(t *testing.T) {
	r := founded(1)
	for name, c := range map[string]*roster.Change{
		"no kind":        r.Next(0),
		"unknown kind":   r.Next(roster.Void + 1),
		"a second line":  next(r, roster.Void, func(c *roster.Change) { c.Because = "it is\nremove member 1" }),
		"a name":         next(r, roster.Add, func(c *roster.Change) { c.Member = machine(2); c.Member.Name = "a\nb" }),
		"a data center":  next(r, roster.Add, func(c *roster.Change) { c.Member = machine(2); c.Member.DataCenter = "a b" }),
		"a short key":    next(r, roster.Add, func(c *roster.Change) { c.Member = machine(2); c.Member.Sealing = nil }),
		"a group":        next(r, roster.SetPolicy, func(c *roster.Change) { c.Policy, c.Group = policy(), 1 }),
		"too many waits": next(r, roster.SetPolicy, func(c *roster.Change) { c.Policy = policy(); c.Policy.MaxAttempts = 9 }),
		"no serial":      next(r, roster.Void, func(c *roster.Change) { c.Serial = 0 }),
		"no operators":   r.Next(roster.SetOperators),
	} {
		if text, err := c.Text(); text != "" || !errors.Is(err, roster.ErrText) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
