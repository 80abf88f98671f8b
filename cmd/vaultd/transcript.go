package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"strings"

	"keepsake.example/ceremony"
	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/sealed"
)

var transcriptSignCommand = command.Command[app, options]{
	Name: "transcript sign", Args: "TRANSCRIPT", Short: "read a transcript and sign it",
	Long: `Shows the transcript of a ceremony and its last digest, asks for the last four
digits of that, and adds an operator's signature to the file. Sign what you heard read
aloud and wrote down yourself, with your own key, on your own machine: the digest
covers every line above it.`,
	Example: `  vaultd transcript sign transcript --key alice.key --out transcript.alice`,
	Flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.key, "key", "", "`FILE` with the operator's key, from vaultd operator keygen; or the pkcs11: URI of one on a token")
		f.StringVar(&o.out, "out", "", "`FILE` to write transcript and signatures to, in place of TRANSCRIPT")
		f.BoolVar(&o.yes, "yes", false, "sign without asking; for who has read it already")
	},
	Run: (*app).transcriptSign,
}

func (a *app) transcriptSign(ctx context.Context, o *options) error {
	k, err := a.operatorKey(ctx, o.key)
	if err != nil {
		return err
	}
	defer k.wipe()
	s, t, err := readTranscripts(o.args[0])
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Err, s.Text)
	if t.Rehearsal {
		a.Warn("this is the transcript of a rehearsal: there is no fleet behind it")
	}
	if err := a.compare(o.yes, "sign this as "+k.name+"?", t.Digest()); err != nil {
		return err
	}
	if !s.By(k.public()) {
		if err := s.Sign(k.key); err != nil {
			return err
		}
	}
	file := o.out
	if file == "" {
		file = o.args[0]
	}
	if err := durable.WriteFile(file, s.Encode(), 0o644); err != nil {
		return fmt.Errorf("writing the signature: %w", err)
	}
	result := map[string]any{"file": file, "digest": hex.EncodeToString(digestOf(t)), "signatures": len(s.Signatures)}
	return a.Emit(result, func(w io.Writer) {
		fmt.Fprintf(w, "signed; %d signatures in %s. Then: vaultd transcript verify %s\n", len(s.Signatures), file, file)
	})
}

func digestOf(t *ceremony.Transcript) []byte { d := t.Digest(); return d[:] }

// compare shows a digest as it is read aloud, and has a person type its last four
// digits: nobody types them without having looked.
func (a *app) compare(yes bool, question string, digest [sha256.Size]byte) error {
	fmt.Fprintf(a.Err, "\n%s\n\n", ceremony.Aloud(digest))
	return a.confirmWith(yes, question, "the last four digits", hex.EncodeToString(digest[:])[60:])
}

// readTranscripts reads the files of one transcript, with the signatures of all of them.
func readTranscripts(files ...string) (all *ceremony.Signed, t *ceremony.Transcript, err error) {
	for _, file := range files {
		data, err := command.ReadFile(file, int64(ceremony.MaxFile))
		if err != nil {
			return nil, nil, fmt.Errorf("reading the transcript: %w", err)
		}
		s, read, err := ceremony.ParseSigned(data)
		if err != nil {
			return nil, nil, command.Fail(exitFile, file+": "+err.Error(), "take the file as vaultd ceremony wrote it, from somebody else who was there")
		}
		if all == nil {
			all, t = &ceremony.Signed{Text: s.Text}, read
		}
		if s.Text != all.Text {
			return nil, nil, command.Fail(exitRefused, file+" is another transcript than "+files[0], "compare the digests with what was read aloud")
		}
		for _, g := range s.Signatures {
			if !all.By(g.Key) {
				if err := all.Add(g); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return all, t, nil
}

var transcriptVerifyCommand = command.Command[app, options]{
	Name: "transcript verify", Args: "TRANSCRIPT...", Short: "check a transcript, its signatures and what came of it",
	Long: `Checks that a transcript is whole, that a quorum of the operators it names has signed
it, and, with --bundle, that the fleet whose bundle it is is the one that was founded.
Several copies can be given: their signatures are put together. Exits with 14 when
something is missing or does not agree.`,
	Example: `  vaultd transcript verify transcript.alice transcript.bob --bundle bundle`,
	Flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.inspect, "bundle", "", "`FILE` with a bundle of the fleet, as clients fetch it")
		f.StringVar(&o.out, "out", "", "`FILE` to write the transcript with all signatures to")
	},
	Run: (*app).transcriptVerify,
}

// verdict is what transcript verify finds.
type verdict struct {
	Fleet     string   `json:"fleet"`
	Digest    string   `json:"digest"`
	Rehearsal bool     `json:"rehearsal"`
	Quorum    int      `json:"quorum"`
	Signed    []string `json:"signed"`
	Missing   []string `json:"missing"` // operators who have not signed
}

func (a *app) transcriptVerify(_ context.Context, o *options) error {
	s, t, err := readTranscripts(o.args...)
	if err != nil {
		return err
	}
	v, err := judge(s, t)
	if err != nil {
		return err
	}
	if o.inspect != "" {
		if err := v.compareBundle(o.inspect); err != nil {
			return err
		}
	}
	if o.out != "" {
		if err := durable.WriteFile(o.out, s.Encode(), 0o644); err != nil {
			return fmt.Errorf("writing the transcript: %w", err)
		}
	}
	if err := a.Emit(v, v.write); err != nil {
		return err
	}
	if len(v.Signed) < v.Quorum {
		return command.Fail(exitRefused, fmt.Sprintf("signed by %d, and %d must", len(v.Signed), v.Quorum), "vaultd transcript sign, by: "+strings.Join(v.Missing, ", "))
	}
	if v.Rehearsal {
		return command.Fail(exitRefused, "this is the transcript of a rehearsal: there is no fleet behind it", "found one with vaultd ceremony, without --rehearse")
	}
	return nil
}

// judge reads from a transcript who had to sign it, and looks who has.
func judge(s *ceremony.Signed, t *ceremony.Transcript) (*verdict, error) {
	v := &verdict{Digest: hex.EncodeToString(digestOf(t)), Rehearsal: t.Rehearsal, Signed: []string{}, Missing: []string{}}
	quorum, _ := t.Fact("quorum")
	if _, err := fmt.Sscanf(quorum, "%d of ", &v.Quorum); err != nil || v.Quorum < 1 {
		return nil, command.Fail(exitFile, "the transcript does not say how many operators must sign", "was the ceremony ended before its first step was done?")
	}
	v.Fleet, _ = t.Fact("fleet")
	if v.Fleet == "" {
		return nil, command.Fail(exitRefused, "the transcript has no fleet in it: the ceremony did not come to its end", "there is nothing to sign: the ceremony is played again, from its beginning")
	}
	for _, text := range t.Facts("operator") {
		op, err := parseOperator(strings.Replace(text, " ", "=", 1))
		if err != nil {
			return nil, command.Fail(exitFile, "the transcript's operator: "+err.Error(), "get another copy from the machine where the ceremony was played")
		}
		if s.By(op.Key) {
			v.Signed = append(v.Signed, op.Name)
		} else {
			v.Missing = append(v.Missing, op.Name)
		}
	}
	return v, nil
}

func (v *verdict) compareBundle(file string) error {
	data, err := command.ReadFile(file, fleet.MaxSize)
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	var id sealed.FleetID
	if id, err = fleet.ParseID(v.Fleet); err == nil {
		_, err = fleet.Open(data, id)
	}
	if err != nil {
		return command.Fail(exitRefused, file+" is not a bundle of the fleet that was founded: "+err.Error(), "the fleet id in the transcript is what clients must pin")
	}
	return nil
}

func (v *verdict) write(w io.Writer) {
	fmt.Fprintf(w, "fleet    %s\ndigest   %s\nquorum   %d\nsigned   %s\n", v.Fleet, v.Digest, v.Quorum, strings.Join(v.Signed, ", "))
	if len(v.Missing) > 0 {
		fmt.Fprintf(w, "missing  %s\n", strings.Join(v.Missing, ", "))
	}
}
