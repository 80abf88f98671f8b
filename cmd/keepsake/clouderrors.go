package main

import (
	"errors"
	"strings"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/internal/cli"
)

// explainProgram speaks about destinations and the program that reaches them.
func explainProgram(err error) *failure {
	if e, ok := errors.AsType[*cloud.DestinationError](err); ok {
		return &failure{cli.Usage, plain(err), e.Hint}
	}
	if e, ok := errors.AsType[*process.Error](err); ok && e.Kind == nil && e.Destination.Kind == cloud.KindRclone {
		return &failure{cli.Failed, plain(err), "a name that is no cloud's is taken for a remote of rclone's; the names there are: keepsake help destinations"}
	}
	switch {
	case errors.Is(err, process.ErrMissing):
		return &failure{cli.Failed, plain(err), "install keepsake-cloud beside keepsake, or in PATH; a folder as --cloud needs no such program"}
	case errors.Is(err, process.ErrProgram):
		return &failure{cli.Failed, plain(err), "keepsake-cloud has to be of the same version as keepsake: install both together"}
	case errors.Is(err, process.ErrProtocol):
		return &failure{cli.Internal, plain(err), "this is a fault of keepsake-cloud. Please report the line above, which holds no secrets, with what `keepsake version` says. Earlier snapshots are intact"}
	}
	return nil
}

// networkHints are of errors of a cloud that is reached by a network: what helps with a
// folder does not help there.
var networkHints = map[error]string{
	cloud.ErrUnreachable: "is the network up, and the server in order? Try again then; nothing is lost, and the next run goes on where this one stopped",
	cloud.ErrThrottled:   "the provider allows only so many requests; try again later, the next run goes on where this one stopped",
	cloud.ErrFull:        "make room at the provider, or get more. keepsake prune frees what old snapshots hold",
	cloud.ErrNotExist:    "is it the right place? See --cloud; what is there: keepsake cloud check DEST. A new backup is made with: keepsake enable DIR --cloud DEST --key",
}

// helpFar gives the explanation of an error a hint that fits, if a network is between.
func helpFar(e explanation, err error) explanation {
	far, ok := errors.AsType[*process.Error](err)
	if !ok {
		return e
	}
	if hint, ok := networkHints[e.is]; ok {
		e.hint = hint
	}
	if e.is == cloud.ErrDenied {
		e.hint = deniedHint(far.Destination)
		if strings.Contains(far.Text, aboutClocks) {
			e.hint = clockHint(far.Destination)
		}
	}
	return e
}

// aboutClocks is in the text of a refusal that keepsake-cloud puts down to a clock.
const aboutClocks = "this device's clock is"

// clockHint tells whose clock to look at: that of a provider of many is right.
func clockHint(d cloud.Destination) string {
	if d.Kind == cloud.KindS3 && d.Host == "" {
		return "set this device's clock right, and its time zone; the sign-in is in order"
	}
	return "compare the two with a clock you trust. If this device's is wrong, set it right, and its time zone; if the server's is, tell who runs it. The sign-in is in order"
}

func deniedHint(d cloud.Destination) string {
	if d.Kind == cloud.KindRclone {
		return "sign in again with rclone: rclone config reconnect " + cli.Name(d.Remote+":")
	}
	return "sign in: keepsake cloud login " + cli.Name(d.Login()) + ". Whether the place allows what a backup needs: keepsake cloud check " + cli.Name(d.String())
}
