package vaultd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// held keeps what is proposed until it is let go.
type held struct {
	begun, letGo chan struct{}
	once         sync.Once
}

type holding struct {
	vaultd.Committer
	h *held
}

func (c holding) Propose(ctx context.Context, entry []byte) (any, error) {
	c.h.once.Do(func() { close(c.h.begun) })
	select {
	case <-c.h.letGo:
	case <-ctx.Done():
	}
	return c.Committer.Propose(ctx, entry)
}

// hold has the server's proposals wait from now on.
func hold(s *vaultd.Server) *held {
	h := &held{begun: make(chan struct{}), letGo: make(chan struct{})}
	s.Wrap(func(c vaultd.Committer) vaultd.Committer { return holding{c, h} })
	return h
}

// A leader that is told to end gives all that it leads away before it ends. What it has in
// work holds its end up until others lead, and until one of them has answered a request made
// meanwhile: all that time the followers hear it, so that nobody has waited for an election
// timeout. Then what was in work is decided, too, by the new leader.
func TestEndingLeaderGivesAway(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	for _, c := range []struct {
		name  string
		serve func(*machine) (ask func(question) error, end func() error)
	}{{"by a signal", f.served}, {"closed", f.called}} {
		t.Run(c.name, func(t *testing.T) {
			old := f.leader()
			ask, end := c.serve(old)
			h := hold(old.server)
			f.askAt(old)
			inWork, meanwhile := p.question(newGuess("right").body), p.question(newGuess("right").body)
			answered, ended := make(chan error, 1), make(chan error, 1)
			go func() { answered <- ask(inWork) }()
			<-h.begun
			go func() { ended <- end() }()
			f.awaitOthersLead(t, old, ended)
			f.askAt(f.besides(old)[0])
			wants(t, f.deliver(meanwhile), vaultapi.OK)
			close(h.letGo)
			if err := <-answered; err != nil {
				t.Errorf("what was in work: %v", err)
			}
			if err := <-ended; err != nil {
				t.Errorf("ending: %v", err)
			}
			old.stop()
			old.start()
			f.settled()
		})
	}
	f.askAt(f.leader())
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 6 {
		t.Errorf("%d left after four attempts", st.Left)
	}
}

func (f *fleetOf) besides(one *machine) (list []*machine) {
	for _, m := range f.machines {
		if m != one {
			list = append(list, m)
		}
	}
	return list
}

// awaitOthersLead waits until the other machines know other leaders than one, of all groups,
// and fails when that one ended before.
func (f *fleetOf) awaitOthersLead(t *testing.T, old *machine, ended chan error) {
	t.Helper()
	eventually(t, "others lead", func() error {
		select {
		case err := <-ended:
			t.Fatalf("member %d ended, with %v, before another led what it led", old.number, err)
		default:
		}
		for _, m := range f.besides(old) {
			for _, g := range m.server.Status(t.Context()).Groups {
				if by := g.Replica.Leader; by == 0 || by == old.number {
					return fmt.Errorf("member %d: group %d is led by %d", m.number, g.Group, by)
				}
			}
		}
		return nil
	})
}

// served has a machine serve as the program does, until a signal, which end stands for.
func (f *fleetOf) served(m *machine) (ask func(question) error, end func() error) {
	public, admin := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, signal := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	server := m.server
	go func() { done <- server.Serve(ctx, public, admin) }()
	ask = func(q question) error {
		r, err := (&http.Client{Timeout: patience}).Post("http://"+public.Addr().String()+"/v1/request", "application/octet-stream", bytes.NewReader(q.bytes))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return opened(q, answer)
	}
	return ask, func() error {
		signal()
		if err := <-done; err != nil {
			return err
		}
		return server.Close()
	}
}

// called has a machine asked without connections, and closed without a signal.
func (f *fleetOf) called(m *machine) (ask func(question) error, end func() error) {
	server := m.server
	ask = func(q question) error {
		ctx, cancel := context.WithTimeout(f.t.Context(), patience)
		defer cancel()
		answer, err := server.Answer(ctx, q.bytes)
		if err != nil {
			return err
		}
		return opened(q, answer)
	}
	return ask, server.Close
}

// opened wants an answer to be OK.
func opened(q question, answer []byte) error {
	a, err := q.open(answer)
	if err == nil && a.Code != vaultapi.OK {
		err = fmt.Errorf("%v", a.Code)
	}
	return err
}
