package main

import (
	"errors"
	"io/fs"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/internal/cli"
)

// cloudExplanations are of errors of a cloud that is reached by a network: what helps
// with a folder does not help there.
var cloudExplanations = []explanation{
	{cloud.ErrUnreachable, cli.Unreachable, "", "is the network up? Try again then; nothing is lost, and the next run goes on where this one stopped"},
	{cloud.ErrThrottled, cli.Unreachable, "", "the provider allows only so many requests; try again later, the next run goes on where this one stopped"},
	{cloud.ErrFull, cli.NoRoom, "", "make room at the provider, or get more. keepsake prune frees what old snapshots hold"},
}

// explainCloud speaks about destinations and the program that reaches them.
func explainCloud(err error) *failure {
	if e, ok := errors.AsType[*cloud.DestinationError](err); ok {
		return &failure{cli.Usage, plain(err), e.Hint}
	}
	if errors.Is(err, process.ErrProgram) {
		hint := "keepsake-cloud has to be of the same version as keepsake: install both together"
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, process.ErrMissing) {
			hint = "install keepsake-cloud beside keepsake, or in PATH; a folder as --cloud needs it not"
		}
		return &failure{cli.Failed, plain(err), hint}
	}
	if errors.Is(err, process.ErrProtocol) {
		return &failure{cli.Internal, plain(err), "this is a fault of keepsake-cloud. Please report the line above, which holds no secrets, with what `keepsake version` says. Earlier snapshots are intact"}
	}
	e, ok := errors.AsType[*process.Error](err)
	if !ok {
		return nil
	}
	if errors.Is(e, cloud.ErrDenied) {
		return &failure{cli.NoRoom, plain(err), deniedHint(e.Destination)}
	}
	for _, x := range cloudExplanations {
		if errors.Is(e, x.is) {
			return &failure{x.exit, plain(err), x.hint}
		}
	}
	return nil
}

func deniedHint(d cloud.Destination) string {
	if d.Kind == cloud.KindRclone {
		return "sign in again with rclone: rclone config reconnect " + cli.Name(d.Remote+":")
	}
	return "sign in again: keepsake cloud login " + cli.Name(d.Login()) + "; whether the place allows what a backup needs: keepsake cloud check " + cli.Name(d.String())
}
