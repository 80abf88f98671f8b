package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// saying is a member whose metrics are made by a function.
func saying(t *testing.T, leads func() (is, term int)) *process {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		is, term := leads()
		fmt.Fprintf(w, "# HELP vaultd_group_leads 1\nvaultd_group_leads{group=\"0\"} %d\nvaultd_group_leads{group=\"1\"} 1\nvaultd_group_term{group=\"0\"} %d\n", is, term)
	}))
	t.Cleanup(s.Close)
	return &process{admin: strings.TrimPrefix(s.URL, "http://")}
}

// Who led before the kill, or leads another group, was not elected by it.
func TestElectionIsInALaterTerm(t *testing.T) {
	began := time.Now()
	old := saying(t, func() (int, int) { return 1, 7 })
	next := saying(t, func() (int, int) {
		if time.Since(began) < 100*time.Millisecond {
			return 0, 8
		}
		return 1, 8
	})
	d, err := newWatcher().awaitElection([]*process{old, next}, 7, began)
	if err != nil {
		t.Fatal(err)
	}
	if d < 100*time.Millisecond {
		t.Errorf("elected after %v, before anybody was", d)
	}
}

func TestReignIsOfTheRootGroup(t *testing.T) {
	r, err := readReign([]byte("vaultd_group_leads{group=\"1\"} 1\nvaultd_group_leads{group=\"0\"} 0\nvaultd_group_term{group=\"0\"} 12\n"))
	if err != nil || r != (reign{false, 12}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := readReign([]byte("vaultd_ready 1\n")); err == nil {
		t.Error("metrics without the group are believed")
	}
}
