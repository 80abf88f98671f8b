package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"keepsake.example/roster"
)

// noticeAfter is how long a command asks in silence.
const noticeAfter = 3 * time.Second

// tellLater says, if a command still waits then, what for, and a person how to end it. The function
// that it returns is called when the wait is over.
func (a *app) tellLater(after time.Duration, text string) (over func()) {
	told := make(chan struct{})
	t := time.AfterFunc(after, func() {
		defer close(told)
		if in, ok := a.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			text += "; Ctrl-C ends it"
		}
		io.WriteString(a.Err, "vaultd: "+text+"\n")
	})
	return func() {
		if !t.Stop() {
			<-told
		}
	}
}

// askedForWelcome says whom a newcomer asks, and for how long.
func askedForWelcome(r *roster.Roster) string {
	var names []string
	for _, m := range r.Members {
		if !m.Learner {
			names = append(names, fmt.Sprintf("%d (%s)", m.Number, m.Name))
		}
	}
	return fmt.Sprintf("no welcome yet: asking the voters %s for up to %v, of whom a majority must be up and reach each other; "+
		"if this ends without one, run it again, unless a member says that this machine was welcomed already", strings.Join(names, ", "), adminTimeout)
}
