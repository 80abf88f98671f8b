package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"keepsake.example/internal/command"
	"keepsake.example/roster"
)

// A file of a change is its text, as it is signed, and below an empty line a line for each
// signature: "signed KEY SIGNATURE", in hex. Without signatures there is no empty line.
const signedLine = "signed "

// maxChangeFile is the largest file of a change, in bytes.
const maxChangeFile = roster.MaxText + 1 + roster.MaxSignatures*(len(signedLine)+2*32+1+2*64+1)

var errChangeFile = errors.New("not a change with its signatures")

func writeSigned(s *roster.Signed) []byte {
	var b bytes.Buffer
	b.WriteString(s.Text)
	if len(s.Signatures) > 0 {
		b.WriteString("\n")
	}
	for _, g := range s.Signatures {
		fmt.Fprintf(&b, "%s%x %x\n", signedLine, g.Key, g.Signature)
	}
	return b.Bytes()
}

// parseSigned reads a file of a change. Each signature in it holds.
func parseSigned(file []byte) (*roster.Signed, error) {
	text, rest, _ := strings.Cut(string(file), "\n\n")
	s := &roster.Signed{Text: strings.TrimSuffix(text, "\n") + "\n"}
	if _, err := roster.ParseChange(s.Text); err != nil {
		return nil, err
	}
	for line := range strings.Lines(rest) {
		var g roster.Signature
		key, signature, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, signedLine), "\n"), " ")
		if !ok || !decodeHex(g.Key[:], key) || !decodeHex(g.Signature[:], signature) {
			return nil, fmt.Errorf("%w: %q", errChangeFile, command.OneLine(line))
		}
		if err := s.Add(g); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(writeSigned(s), file) {
		return nil, errChangeFile
	}
	return s, nil
}

func decodeHex(into []byte, text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == len(into) && copy(into, b) == len(into)
}

// readSigned reads the files of one change, with the signatures of all of them.
func readSigned(files ...string) (all *roster.Signed, err error) {
	for _, file := range files {
		data, err := command.ReadFile(file, int64(maxChangeFile))
		if err != nil {
			return nil, fmt.Errorf("reading the change: %w", err)
		}
		s, err := parseSigned(data)
		if err != nil {
			return nil, command.Fail(exitFile, file+": "+err.Error(), "the text must be as vaultd operator propose wrote it, to the letter: signatures are of that text. Propose it anew, and let it be signed anew")
		}
		if all == nil {
			all = &roster.Signed{Text: s.Text}
		}
		if s.Text != all.Text {
			return nil, command.Fail(command.Misused, file+" is another change than "+files[0], "signatures are put together of one change only")
		}
		merge(all, s)
	}
	return all, nil
}

// merge adds the signatures that are not there yet.
func merge(into, from *roster.Signed) {
	have := map[[32]byte]bool{}
	for _, g := range into.Signatures {
		have[g.Key] = true
	}
	for _, g := range from.Signatures {
		if !have[g.Key] {
			into.Add(g) // it holds: parseSigned has seen to that; one too many is left out
		}
	}
}
