package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/chatd/audit"
	"keepsake.example/internal/command"
)

var serveCommand = command.Command[app, options]{
	Name: "serve", Short: "run the server",
	Long: `Runs the server until a signal comes (SIGINT, SIGTERM). Then /readyz says no, and
after the limit drain_delay no more connections are taken; requests under way
are answered, for at most drain_timeout. A second signal ends it at once.
Logs are JSON lines on standard error.`,
	Example: "  chatd serve --config /etc/chatd/chatd.toml",
	Flags:   configFlag,
	Run:     (*app).serve,
}

// closeTime bounds the sending of codes that wait when the server ends.
const closeTime = 10 * time.Second

func (a *app) serve(ctx context.Context, o *options) (err error) {
	c, err := readConfig(o.config)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(a.Err, nil))
	for _, choice := range c.insecure() {
		log.Warn("insecure", "choice", choice)
	}
	p, err := c.build(log, a.Err, false)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		err = errors.Join(err, p.close(ctx))
	}()
	l := chatd.Listeners{}
	if l.Public, err = net.Listen("tcp", c.Listen); err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	if l.Admin, err = net.Listen("tcp", c.Admin); err != nil {
		return errors.Join(fmt.Errorf("listening for the operator: %w", err), l.Public.Close())
	}
	log.Info("serving", "listen", l.Public.Addr().String(), "admin", l.Admin.Addr().String(), "relay", c.Relay != nil, "issuer", c.Issuer != nil)
	return p.server.Serve(ctx, l)
}

var checkConfigCommand = command.Command[app, options]{
	Name: "check-config", Short: "read the configuration and every file it names",
	Long: `Reads the configuration and every file it names as serve does, opens nothing to
the network, and says whether it would run. It may run beside the chatd that uses
these files, and makes none. Of the audit log it reads the ends; check-audit reads all
of it.`,
	Example: "  chatd check-config --config /etc/chatd/chatd.toml",
	Flags:   configFlag,
	Run:     (*app).checkConfig,
}

func (a *app) checkConfig(ctx context.Context, o *options) error {
	c, err := readConfig(o.config)
	if err != nil {
		return err
	}
	p, err := c.build(slog.New(slog.DiscardHandler), a.Err, true)
	if err != nil {
		return err
	}
	if err := p.close(ctx); err != nil {
		return err
	}
	for _, choice := range c.insecure() {
		a.Warn("insecure: " + choice)
	}
	fmt.Fprintln(a.Out, "ok")
	return nil
}

var checkAuditCommand = command.Command[app, options]{
	Name: "check-audit", Args: "FILE...", Short: "check that audit files are one unbroken chain",
	Long: `Checks that the files, oldest first, are one chain: no line changed, missing or
moved. Prints the number and the hash of the last line. Note it elsewhere now and
then: lines cut from the end show only to who knows how far the log went.`,
	Example: "  chatd check-audit audit.jsonl-* audit.jsonl",
	Run:     (*app).checkAudit,
}

func (a *app) checkAudit(_ context.Context, o *options) error {
	var head *audit.Head
	for _, path := range o.args {
		h, err := checkFile(path, head)
		if err != nil {
			return err
		}
		head = &h
	}
	fmt.Fprintf(a.Out, "%d %x\n", head.Seq, head.Hash)
	return nil
}

func checkFile(path string, after *audit.Head) (audit.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return audit.Head{}, fmt.Errorf("reading the audit log: %w", err)
	}
	defer f.Close()
	h, err := audit.Verify(f, after)
	if err != nil {
		return h, command.Fail(exitDamaged, fmt.Sprintf("%s: %v", path, err), "files are given oldest first; keep them, they are evidence")
	}
	return h, nil
}

var versionCommand = command.Command[app, options]{
	Name: "version", Short: "print the version",
	Long: "Prints the version of this program and of the Go it was built with.",
	Run:  (*app).version,
}

func (a *app) version(context.Context, *options) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program was built without its version")
	}
	fmt.Fprintf(a.Out, "chatd %s %s\n", info.Main.Version, info.GoVersion)
	return nil
}
