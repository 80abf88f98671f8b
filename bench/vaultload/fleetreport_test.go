package main

import (
	"strings"
	"testing"
	"time"
)

const msec = time.Millisecond

// wideOf is a run in which every phase took so long.
func wideOf(quantum, phase time.Duration, leader, asked int) *wideResult {
	return &wideResult{&loadResult{request: []time.Duration{phase}}, quantum, leader, asked}
}

// The default is what fleets run: a phase that is fast without a quantum says nothing
// of one with it.
func TestEachQuantumIsJudged(t *testing.T) {
	r := &fleetResult{
		wide:    []*wideResult{wideOf(0, 50*msec, 0, 0), wideOf(0, 126*msec, 0, 4), wideOf(usual, 61*msec, 0, 0), wideOf(53*msec, 54*msec, 0, 0)},
		outages: []outage{{600 * msec, 800 * msec, 900 * msec}},
	}
	var text strings.Builder
	r.writeTargets(&text)
	for _, want := range []string{
		"**without a quantum**, which no fleet should run | at most 55.0 ms | 50.0 ms | met |",
		"**quantum 20ms, the default** | at most 55.0 ms | 61.0 ms | **NOT met** |",
		"**quantum 53ms**, set for the round trip | at most 55.0 ms | 54.0 ms | met |",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no row %q in:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "126.0") {
		t.Error("what was asked far from the leader is judged by the leader's target")
	}
}

// Another member may lead in another run.
func TestTargetIsOfTheRunsOwnLeader(t *testing.T) {
	r := &fleetResult{wide: []*wideResult{wideOf(0, 60*msec, 2, 2), wideOf(usual, 60*msec, 0, 0)}, outages: []outage{{}}}
	var text strings.Builder
	r.writeTargets(&text)
	for _, want := range []string{"at most 60.0 ms | 60.0 ms | met |", "at most 55.0 ms | 60.0 ms | **NOT met** |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
}

// Who is asked far from the leader is far from it, and is not the leader.
func TestFarthest(t *testing.T) {
	for from := range farness {
		for to := range farness {
			if at := farthest(from); at == from || to != from && roundTrip(from, to) > roundTrip(from, at) {
				t.Errorf("from %d: %d, not %d", from, at, to)
			}
		}
	}
}
