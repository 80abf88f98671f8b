package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

var serveCommand = command.Command[app, options]{
	Name: "serve", Short: "run this replica",
	Long: `Runs this replica until a signal comes (SIGINT, SIGTERM): then it answers what it
has begun, for at most the limit "drain", and ends. It refuses to run when its
files are older than its anchor (exit code 6) or damaged (5). Nothing that it
acknowledged is lost by a kill at any moment.`,
	Example: `  vaultd serve --config /var/lib/vaultd/vaultd.toml`,
	Flags: func(f *flag.FlagSet, o *options) {
		configFlag(f, o)
		f.BoolVar(&o.accept, "accept-clock", false, "believe the host's date though it is further ahead than max_clock_jump; cannot be taken back")
	},
	Run: (*app).serve,
}

func configFlag(f *flag.FlagSet, o *options) {
	f.StringVar(&o.config, "config", "vaultd.toml", "`FILE` with the configuration, made by vaultd init")
}

func (a *app) serve(ctx context.Context, o *options) (err error) {
	c, err := readConfig(o.config)
	if err != nil {
		return err
	}
	if err := c.servable(); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(a.Err, nil))
	locked := a.protect(c, log)
	counts, err := c.existing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
	v, err := c.server(ctx, log, locked, counts, o.accept)
	if err != nil {
		return err
	}
	s, err := vaultd.New(ctx, v)
	if err != nil {
		return err
	}
	for _, w := range s.Warnings() {
		log.Warn("insecure", "choice", w)
	}
	if id := fleet.FormatID(s.Fleet()); c.Fleet != "" && c.Fleet != id {
		return errors.Join(command.BadConfig("the files are of fleet "+id+", and vaultd.toml says "+c.Fleet, "is state the right folder?"), s.Close())
	}
	err = a.listen(ctx, c, s, log)
	if closed := s.Close(); !errors.Is(err, closed) { // that says once more why it had halted
		err = errors.Join(err, closed)
	}
	return err
}

// server is the configuration as vaultd takes it.
func (c *config) server(ctx context.Context, log *slog.Logger, locked []string, a *anchors, anyClock bool) (vaultd.Config, error) {
	tokens, err := verifier(c)
	if err != nil {
		return vaultd.Config{}, err
	}
	keys, err := c.openKeys(ctx, a.device)
	if err != nil {
		return vaultd.Config{}, err
	}
	peers, err := c.listenPeers()
	if err != nil {
		return vaultd.Config{}, err
	}
	jump := time.Duration(c.Limits.MaxClockJump)
	if anyClock {
		jump = 1<<63 - 1
	}
	return vaultd.Config{
		Dir: c.path(c.State), Anchor: a.root, Device: a.device, Tokens: tokens, Limits: c.Limits.limits(), MaxClockJump: jump, Log: log,
		Keys: keys, Peers: peers, GroupAnchor: a.group,
		AcceptInsecureAnchor: c.InsecureSoftwareAnchor, AcceptInsecureWaits: c.InsecureWaits, Notes: append(c.insecureListener(), locked...),
	}, nil
}

// founded says whether the replica's files are there, or something that may be.
func (c *config) founded() bool {
	entries, err := os.ReadDir(c.path(c.State))
	return len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// protect keeps the memory from other processes and out of swap, as far as it
// goes; what does not go is told.
func (a *app) protect(c *config, log *slog.Logger) (notes []string) {
	if a.hardened != nil {
		notes = append(notes, "memory_unprotected: "+a.hardened.Error())
	}
	if !c.LockMemory {
		notes = append(notes, "memory_unlocked: lock_memory is off; secrets can reach the swap")
	} else if err := vaultd.LockMemory(); err != nil {
		notes = append(notes, "memory_unlocked: "+err.Error())
	}
	return notes
}

// listen serves chatd and the operator until ctx ends or the replica halts.
func (a *app) listen(ctx context.Context, c *config, s *vaultd.Server, log *slog.Logger) error {
	public, pin, err := c.listener(s)
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", c.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for the operator: %w", err), public.Close())
	}
	log.Info("serving", "listen", public.Addr().String(), "admin", admin.Addr().String(), "fleet", fleet.FormatID(s.Fleet()), "server_pin", pin)
	return s.Serve(ctx, public, admin)
}

// listener is where chatd connects.
func (c *config) listener(s *vaultd.Server) (net.Listener, string, error) {
	text, err := os.ReadFile(c.path(c.TLSKey))
	if err != nil {
		return nil, "", fmt.Errorf("reading the TLS key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", command.BadConfig(c.path(c.TLSKey)+" is not a PEM file", "vaultd init makes one")
	}
	certificate, pin, err := vaultd.Certificate(block.Bytes, time.Now())
	if err != nil {
		return nil, "", err
	}
	pins, err := c.pins()
	if err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("listening for chatd: %w", err)
	}
	return tls.NewListener(s.Bound(l), vaultd.ServerTLS(certificate, pins)), pin.String(), nil
}

func (c *config) pins() (pins []vaultd.Pin, err error) {
	for _, text := range c.Relays {
		p, err := vaultd.ParsePin(text)
		if err != nil {
			return nil, command.BadConfig(fmt.Sprintf("relays: %q: %v", text, err), "chatd init prints it as \"client pin\"")
		}
		pins = append(pins, p)
	}
	return pins, nil
}

// insecureListener is what is insecure about who may connect, if anything.
func (c *config) insecureListener() []string {
	if len(c.Relays) > 0 || !c.InsecureAnyRelay {
		return nil
	}
	return []string{"insecure_any_relay: anybody who reaches the address may connect"}
}

// insecure lists the insecure choices of a configuration.
func (c *config) insecure() []string {
	list := c.insecureListener()
	if c.InsecureSoftwareAnchor {
		list = append(list, "insecure_software_anchor: nothing protects the counts from who operates this machine")
	}
	if c.InsecureWaits {
		list = append(list, "insecure_waits: waits between attempts are shorter than they should be")
	}
	return list
}

// verifier makes what checks tokens.
func verifier(c *config) (*token.Verifier, error) {
	var issuers []token.Issuer
	for _, i := range c.Issuers {
		keys, err := i.keys(c)
		if err != nil {
			return nil, command.BadConfig(fmt.Sprintf("the keys of issuer %q: %v", i.Name, err), "check jwks_file or jwks_url")
		}
		issuers = append(issuers, token.Issuer{Name: i.Name, Audience: i.Audience, Algorithms: i.Algorithms, Keys: keys, MaxLife: time.Duration(i.MaxLife)})
	}
	v, err := token.NewVerifier(issuers...)
	if err != nil {
		return nil, command.BadConfig(err.Error(), "check [[issuer]]")
	}
	return v, nil
}

func (i issuer) keys(c *config) (token.KeySource, error) {
	if i.JWKSFile != "" {
		return token.File(c.path(i.JWKSFile), nil)
	}
	return token.URL(token.Remote{URL: i.JWKSURL})
}

func encodePEM(pkcs8 []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// nextPort is the admin address beside an address: loopback, one port up.
func nextPort(listen string) (string, error) {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65534 {
		return "", fmt.Errorf("%q has no port from 1 to 65534", listen)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n+1)), nil
}
