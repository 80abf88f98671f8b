package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// pollEvery is how long after an answer a member is asked again whether it leads: what
// is found is late by that, at most, and by how long an answer takes. Metrics cost a
// member 0.7 ms of processor time, so that four ask for a quarter of one.
const pollEvery = 10 * time.Millisecond

// reign is what a member says of itself: whether it leads the root group, and in which term.
type reign struct {
	leads bool
	term  uint64
}

// watcher asks for metrics. Status would be slower than an election: it waits for what the
// other members say, and so for the dead one.
type watcher struct{ http.Client }

func newWatcher() *watcher {
	return &watcher{http.Client{Timeout: time.Second, Transport: &http.Transport{DisableCompression: true}}}
}

func (w *watcher) ask(p *process) (reign, error) {
	r, err := w.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return reign{}, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return reign{}, err
	}
	return readReign(text)
}

func readReign(metrics []byte) (r reign, err error) {
	leads, err := gauge(metrics, `vaultd_group_leads{group="0"}`)
	if err != nil {
		return r, err
	}
	term, err := gauge(metrics, `vaultd_group_term{group="0"}`)
	return reign{leads == 1, uint64(term)}, err
}

// gauge is one number of what Prometheus would read.
func gauge(metrics []byte, name string) (float64, error) {
	for line := range bytes.Lines(metrics) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
		}
	}
	return 0, fmt.Errorf("no %s in the metrics", name)
}

// awaitElection returns how long after began one of the others first said that it leads,
// in a term after that of the leader that was lost.
func (w *watcher) awaitElection(others []*process, after uint64, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found := make(chan time.Duration, len(others))
	for _, p := range others {
		go func() {
			for ctx.Err() == nil {
				if r, err := w.ask(p); err == nil && r.leads && r.term > after {
					found <- time.Since(began)
					return
				}
				time.Sleep(pollEvery)
			}
		}()
	}
	select {
	case d := <-found:
		return d, nil
	case <-ctx.Done():
		return 0, errors.New("nobody says that it leads")
	}
}
