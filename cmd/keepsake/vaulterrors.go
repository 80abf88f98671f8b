package main

import (
	"errors"
	"fmt"
	"time"

	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/password"
)

// attemptsJSON is what the vault says of attempts, for machines.
type attemptsJSON struct {
	Counted     bool       `json:"counted"` // this command's attempt, as wrong
	Left        *int       `json:"left,omitempty"`
	Limit       *int       `json:"limit,omitempty"`
	Next        *time.Time `json:"next,omitempty"`         // when the next attempt is taken; absent: now
	WaitSeconds *int       `json:"wait_seconds,omitempty"` // until then
	Destroyed   *time.Time `json:"destroyed,omitempty"`
}

func countedJSON(c client.Counted, now time.Time) *attemptsJSON {
	j := &attemptsJSON{Left: &c.Left, Limit: &c.Limit}
	wait := 0
	if !c.Next.IsZero() {
		next := c.Next.UTC().Truncate(time.Second)
		j.Next, wait = &next, int(c.Next.Sub(now).Round(time.Second).Seconds())
	}
	j.WaitSeconds = &wait
	return j
}

// attemptsOf is what an error says of attempts; nil for one of another kind.
func attemptsOf(err error, now time.Time) *attemptsJSON {
	if e, ok := errors.AsType[*client.WrongPasswordError](err); ok {
		j := countedJSON(e.Counted, now)
		j.Counted = true
		return j
	}
	if e, ok := errors.AsType[*client.WaitError](err); ok {
		return countedJSON(e.Counted, now)
	}
	if e, ok := errors.AsType[*client.DestroyedError](err); ok {
		j := &attemptsJSON{Limit: &e.Limit}
		if !e.When.IsZero() {
			when := e.When.UTC().Truncate(time.Second)
			j.Destroyed = &when
		}
		return j
	}
	if errors.Is(err, client.ErrNotCounted) {
		return &attemptsJSON{}
	}
	return nil
}

// nextOne says when the next attempt is taken.
func nextOne(c client.Counted, now time.Time) string {
	if c.Next.IsZero() || !c.Next.After(now) {
		return "next one now"
	}
	return "next one in " + cli.Duration(c.Next.Sub(now))
}

// explainVault speaks about what the vault says of attempts. None of these is ever
// taken for another.
func explainVault(err error, now time.Time) *failure {
	if e, ok := errors.AsType[*client.WrongPasswordError](err); ok {
		return &failure{
			cli.WrongPassword,
			fmt.Sprintf("wrong password; %s left; %s", cli.Plural(e.Left, "attempt", "attempts"), nextOne(e.Counted, now)),
			"think before the next one: after the last the key is destroyed for good. The 64 digits, if you have them, open the backup at any time",
		}
	}
	if e, ok := errors.AsType[*client.WaitError](err); ok {
		return &failure{
			cli.Wait,
			fmt.Sprintf("the vault takes no attempt yet; nothing was counted; %s left; %s", cli.Plural(e.Left, "attempt", "attempts"), nextOne(e.Counted, now)),
			"it waits longer after each wrong password, so that whoever steals your account cannot use the attempts up at once",
		}
	}
	if e, ok := errors.AsType[*client.DestroyedError](err); ok {
		return &failure{cli.Destroyed, destroyedText(e) + ": only the 64-digit key or a new backup can help", "with the digits: keepsake restore TARGET --cloud DEST. The messages on this device, if they are there: keepsake enable again"}
	}
	if e, ok := errors.AsType[*client.NotCountedError](err); ok && !errors.Is(err, client.ErrUnsettled) {
		return notCounted(e)
	}
	if e, ok := errors.AsType[*client.ChangeWaitsError](err); ok {
		return &failure{
			cli.Wait,
			"the key that this account has there is not from this device; it can be replaced from " + cli.Time(e.Until) + " on",
			"then run the same command with the same password again. Until then the device that put it there can stop it",
		}
	}
	if e, ok := errors.AsType[*client.RefusedError](err); ok && e.After > 0 {
		return &failure{cli.Login, "the server refuses for now: too many requests", "try again in " + cli.Duration(e.After) + "; nothing was counted"}
	}
	return nil
}

func destroyedText(e *client.DestroyedError) string {
	text := "destroyed"
	if !e.When.IsZero() {
		text += " on " + cli.Time(e.When)
	}
	limit := e.Limit
	if limit == 0 {
		return text + " after too many wrong passwords"
	}
	return text + " after " + cli.Plural(limit, "wrong password", "wrong passwords")
}

func notCounted(e *client.NotCountedError) *failure {
	message, hint := "server unreachable, nothing counted", "is the network up? Try again then"
	if e.Sent {
		message = "server unreachable: no answer came; nothing is counted twice"
		hint = "try again with the same password: that is the same attempt, and costs no other one"
	}
	return &failure{cli.NotCounted, message + " (" + plain(e.Cause) + ")", hint}
}

// vaultExplanations go with those of errors.go.
var vaultExplanations = []explanation{
	{password.ErrDishonest, cli.Dishonest, "", "stop, and ask the operator: this server is not the vault of your card, or the vault lies. Nothing is tried again by itself"},
	{password.ErrUnsupported, cli.Failed, "", "install a newer version of keepsake"},
	{client.ErrFleetKey, cli.Dishonest, "the fleet's key in its hardware is gone, or another one than your key was put behind; this says nothing of your password", "stop, and ask the operator: another password does not help, and nothing is tried again by itself. The 64 digits, if you have them, open the backup"},
	{password.ErrUnusable, cli.Usage, "", "choose another one"},
	{client.ErrNoRecord, cli.NotFound, "the vault keeps no key for this account", "was it another account? Log in with: keepsake login --handle NAME. With the 64 digits: keepsake restore TARGET --cloud DEST"},
	{client.ErrRefused, cli.Login, "", "nothing was counted; ask the operator if it goes on"},
	{client.ErrWrongCode, cli.Login, "", "ask for a new one: keepsake login"},
	{client.ErrOtherAccount, cli.Login, "", "log in as before: keepsake login --handle NAME"},
	{client.ErrLogin, cli.Login, "", "log in with: keepsake login"},
	{client.ErrForeignRecord, cli.Failed, "the vault keeps a key for this account that another device put there", "if you know its password: keepsake restore gets that backup back, and keepsake password check --vault lets this device change it. Else replace it after a wait: keepsake password set --take-over"},
	{client.ErrInsecureVault, cli.Usage, "this vault is insecure by its own word: whoever runs it can undo what it destroys", "for development only: --accept-insecure-vault"},
	{client.ErrNoVault, cli.NotFound, "", "put the key behind a password with: keepsake password set --server FILE"},
	{client.ErrNoPassword, cli.NotFound, "", "put it there with: keepsake password set --server FILE"},
	{client.ErrPasswordSet, cli.Usage, "the key is behind a password, and the vault would keep the old one", "in this order: keepsake password remove, keepsake key rotate, keepsake password set"},
	{client.ErrUnsettled, cli.NotCounted, "no answer came to the last step: the password from before holds, or the new one", "find out with: keepsake vault status"},
	{client.ErrNoVerifier, cli.NotFound, "", "ask the vault, at the price of one attempt if it is wrong: keepsake password check --vault"},
	{client.ErrOtherKey, cli.WrongKey, "", "the password is that of another backup, or the key was changed from another device. To put this one's key there: keepsake password change"},
	{client.ErrServer, cli.Usage, "", hintServer},
}
