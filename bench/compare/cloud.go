package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"keepsake.example/cloud/faulty"
)

// way is how a tool reaches the server.
type way struct {
	id   string
	name string
	via  *faulty.Way // nil: directly
}

// ways are an S3 server on this machine, and one as far and as narrow as a cloud is
// from a good home line. What passes is counted on the second only, so that counting
// costs nobody any time on the first.
var ways = []way{
	{"local", "on this machine", nil},
	{"wan", "behind 50 ms and 100 Mbit/s", &faulty.Way{Latency: 25 * time.Millisecond, Rate: 100_000_000 / 8}},
}

// passed is what a command cost the way: requests by method, bytes with headers.
type passed struct {
	requests map[string]int
	up, down int64
}

func (p passed) total() (n int) {
	for _, of := range p.requests {
		n += of
	}
	return n
}

type cloudResult struct {
	way  string
	tool string
	step step
	measurement
	passed
	round int
}

// cloudBench is one run of all tools against one server.
type cloudBench struct {
	bench
	server  string // program that serves S3
	ways    []way
	rounds  map[string]int // by way
	results []cloudResult
}

// cloudSteps are what is compared over a network.
var cloudSteps = []step{first, again, day2, restore}

func runCloud(work, server string, only []string, rounds, wanRounds int, out string) error {
	b := &cloudBench{bench: bench{work: work, src: filepath.Join(work, "src"), tools: available(cloudTools)}, server: server}
	b.rounds = map[string]int{"local": rounds, "wan": wanRounds}
	for _, w := range ways {
		if slices.Contains(only, w.id) {
			b.ways = append(b.ways, w)
		}
	}
	if len(b.ways) == 0 {
		return fmt.Errorf("no way is called %q", only)
	}
	if err := b.measureNew(); err != nil {
		return err
	}
	for _, w := range b.ways {
		for round := range b.rounds[w.id] {
			if err := b.round(w, round); err != nil {
				return fmt.Errorf("%s, round %d: %w", w.id, round+1, err)
			}
			// What there is so far is worth having if the machine stops.
			if err := b.write(out); err != nil {
				return err
			}
		}
	}
	text, err := os.ReadFile(out)
	os.Stdout.Write(text)
	return errors.Join(err, b.clear())
}

func (b *cloudBench) write(out string) error {
	var text bytes.Buffer
	b.report(&text, describe(b.work))
	return os.WriteFile(out, text.Bytes(), 0o644)
}

// round runs every step for every tool, as bench.round does, against a server that is
// empty at its start.
func (b *cloudBench) round(w way, round int) error {
	order := slices.Clone(b.tools)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	if err := b.clear(); err != nil {
		return err
	}
	s, err := b.serve(w)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := mirror(b.day(1), b.src); err != nil {
		return fmt.Errorf("laying out day 1: %w", err)
	}
	for _, st := range cloudSteps {
		if st == day2 {
			if err := mirror(b.day(2), b.src); err != nil {
				return fmt.Errorf("laying out day 2: %w", err)
			}
		}
		for _, t := range order {
			if err := b.runStep(s, w, round, t, st); err != nil {
				return fmt.Errorf("%s: %s: %w", t.name, st, err)
			}
		}
	}
	return nil
}

func (b *cloudBench) runStep(s *server, w way, round int, t tool, st step) error {
	line := t.line(st)
	if line == "" {
		return nil
	}
	store, out := filepath.Join(b.work, "stores", t.id), filepath.Join(b.work, "restored", t.id)
	env := t.environment(b.src, store, out, "SERVER="+s.addr, "ACCESS="+accessKey, "SECRET="+secretKey)
	if st == first {
		if err := prepare(t, store, env); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := settle(b.src, s.folder); err != nil {
		return err
	}
	s.forget()
	m, err := measure(line, env)
	if err != nil {
		return err
	}
	r := cloudResult{way: w.id, tool: t.id, step: st, measurement: m, passed: s.passed(), round: round}
	b.results = append(b.results, r)
	fmt.Fprintf(os.Stderr, "%s round %d  %-12s %-16s %7.2f s  %5.0f MiB  %5d requests  %8.1f MB up  %8.1f MB down\n",
		w.id, round+1, t.id, st, m.seconds, m.peakMiB, r.total(), mb(r.up), mb(r.down))
	return b.finish(t, st, store, out, env)
}

const accessKey, secretKey = "ada", "correct-horse-battery"

// server is a running S3 server, and how it is reached.
type server struct {
	cmd    *exec.Cmd
	folder string
	addr   string        // where tools connect
	proxy  *faulty.Proxy // nil: directly
	output bytes.Buffer
}

// serve starts a server on an empty folder, and makes the bucket "bench".
func (b *cloudBench) serve(w way) (*server, error) {
	folder := filepath.Join(b.work, "stores", "server")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder, addr: addr}
	if b.server == "versitygw" {
		s.cmd = exec.Command("versitygw", "--access", accessKey, "--secret", secretKey, "--region", "us-east-1", "--port", addr, "--quiet", "posix", folder)
	} else {
		s.cmd = exec.Command("rclone", "serve", "s3", folder, "--addr", addr, "--auth-key", accessKey+","+secretKey, "--config", "/dev/null")
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	if err := s.ready(w); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, &s.output)
	}
	return s, nil
}

// ready waits for the server, makes the bucket, and puts the way before it.
func (s *server) ready(w way) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("waiting for the server: %w", err)
		}
	}
	line := `rclone --config /dev/null --s3-provider Other --s3-endpoint "http://$SERVER" --s3-access-key-id "$ACCESS" --s3-secret-access-key "$SECRET" mkdir :s3:bench`
	if _, err := measure(line, []string{"SERVER=" + s.addr, "ACCESS=" + accessKey, "SECRET=" + secretKey}); err != nil {
		return fmt.Errorf("making the bucket: %w", err)
	}
	if w.via == nil {
		return nil
	}
	p, err := faulty.HTTP(s.addr)
	if err != nil {
		return err
	}
	p.SetWay(*w.via)
	s.proxy, s.addr = p, p.Addr()
	return nil
}

func (s *server) stop() {
	if s.proxy != nil {
		s.proxy.Close() // nothing is carried any more
	}
	s.cmd.Process.Kill()
	s.cmd.Wait() // it was killed
}

func (s *server) forget() {
	if s.proxy != nil {
		s.proxy.Forget()
	}
}

func (s *server) passed() passed {
	if s.proxy == nil {
		return passed{}
	}
	c := s.proxy.Counts()
	return passed{c.Requests, c.Up, c.Down}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// methods names requests for the table: "PUT 120, GET 4".
func (p passed) methods() string {
	var all []string
	for _, m := range []string{"PUT", "POST", "GET", "HEAD", "DELETE"} {
		if n := p.requests[m]; n > 0 {
			all = append(all, fmt.Sprintf("%s %d", m, n))
		}
	}
	return strings.Join(all, ", ")
}
