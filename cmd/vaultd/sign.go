package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/roster"
)

var signCommand = command.Command[app, options]{
	Name: "operator sign", Args: "CHANGE", Short: "read a change and sign it",
	Long: `Shows the whole text of a change, asks for its serial, and adds the signature of one
operator to the file. Each operator does that with a key of their own; CHANGE can be
the text as it was proposed, or a file that others have signed already. Signing alone
does nothing: a quorum of signatures has to be submitted.

Read the text, not the message that it came with. "identity" and "sealing" are the
keys of the machine that is taken in, to which the secret of the group will be given.
With --card they are compared with member.card, as you have it from that machine.`,
	Example: `  vaultd operator sign change-7.txt --key alice.key --out change-7.alice
  vaultd operator sign change-8.txt --key alice.key --card member.card`,
	Flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.key, "key", "", "`FILE` with the operator's key, from vaultd operator keygen; or the pkcs11: URI of one on a token")
		f.StringVar(&o.out, "out", "", "`FILE` to write text and signatures to, in place of CHANGE")
		f.StringVar(&o.card, "card", "", "`FILE` that the machine was to be taken in by; another one is not signed")
		f.BoolVar(&o.yes, "yes", false, "sign without asking; for who has read it already")
	},
	Run: (*app).sign,
}

func (a *app) sign(ctx context.Context, o *options) error {
	k, err := a.operatorKey(ctx, o.key)
	if err != nil {
		return err
	}
	defer k.wipe()
	s, err := readSigned(o.args[0])
	if err != nil {
		return err
	}
	c, err := roster.ParseChange(s.Text)
	if err != nil {
		return err
	}
	if o.card != "" {
		if err := compareCard(c, o.card); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.Err, s.Text)
	warning := warn(c)
	if warning != "" {
		a.Warn(warning)
	}
	if err := a.confirm(o.yes, "sign this as "+command.OneLine(k.name)+"?", strconv.FormatUint(c.Serial, 10)); err != nil {
		return err
	}
	signature, err := roster.Sign(s.Text, k.key)
	if err != nil {
		return err
	}
	merge(s, &roster.Signed{Signatures: []roster.Signature{signature}})
	file := o.out
	if file == "" {
		file = o.args[0]
	}
	if err := durable.WriteFile(file, writeSigned(s), 0o644); err != nil {
		return fmt.Errorf("writing the signature: %w", err)
	}
	result := map[string]any{"file": file, "serial": c.Serial, "key": hex.EncodeToString(signature.Key[:]), "signatures": len(s.Signatures)}
	return a.Emit(result, func(w io.Writer) {
		fmt.Fprintf(w, "signed; %d signatures in %s. When there are enough: vaultd operator submit %s\n", len(s.Signatures), file, file)
	})
}

// compareCard refuses a change that does not add just the machine of the card.
func compareCard(c *roster.Change, file string) error {
	card, err := readCard(file)
	if err != nil {
		return err
	}
	if c.Kind != roster.Add || c.Group != 0 || !reflect.DeepEqual(card.Member(c.Member.Number), c.Member) {
		return command.Fail(exitRefused, "the change does not add the machine of "+file+"; nothing was signed", "somebody may have put another machine in its place: ask who proposed it")
	}
	return nil
}

// warn says of a change that cannot be taken back that it cannot.
func warn(c *roster.Change) string {
	switch {
	case c.Kind == roster.Remove && c.Group == 0:
		return fmt.Sprintf("member %d is taken out for good: its number is never given again, and nothing it has can be used again", c.Member.Number)
	case c.Kind == roster.Remove:
		return fmt.Sprintf("member %d leaves group %d for good: it can come back only as a new machine", c.Member.Number, c.Group)
	case c.Kind == roster.Promote:
		return fmt.Sprintf("member %d counts for the quorum from then on: let it have caught up first (vaultd status)", c.Member.Number)
	case c.Kind == roster.SetOperators:
		return "from then on only these operators change the fleet: a key that is lost or mistyped here is lost for good"
	case c.Kind == roster.SetPolicy, c.Kind == roster.SetMinVersion, c.Kind == roster.SetTolerate:
		return "this cannot be taken back: it only ever becomes stricter"
	}
	return ""
}
