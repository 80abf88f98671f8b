package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/account"
)

// A report is what check found.
type report struct {
	Destination  string     `json:"destination"`
	Provider     string     `json:"provider,omitempty"`
	Experimental string     `json:"experimental,omitempty"`
	Passed       bool       `json:"passed"`
	Steps        []step     `json:"steps"`
	Latency      float64    `json:"latency_s"`          // of one small request, the median of five
	Up           float64    `json:"up_bytes_per_s"`     // one connection, 16 MiB
	Down         float64    `json:"down_bytes_per_s"`   // likewise
	Parallel     int        `json:"parallel,omitempty"` // connections a backup uses
	Lag          float64    `json:"lag_s,omitempty"`    // how long the cloud may show what was
	Requests     int64      `json:"requests"`           // that this check made
	Room         *roomTable `json:"room,omitempty"`
	Sees         []string   `json:"sees,omitempty"`
	Limits       []string   `json:"limits,omitempty"`
	LeftBehind   string     `json:"left_behind,omitempty"` // what could not be removed
}

// A step is one thing a backup needs of a cloud.
type step struct {
	Name  string  `json:"name"`
	Took  float64 `json:"took_s"`
	Error string  `json:"error,omitempty"`
}

// roomTable is the room in the cloud in bytes; -1 is unknown.
type roomTable struct {
	Total int64 `json:"total"`
	Used  int64 `json:"used"`
	Free  int64 `json:"free"`
}

// checker tries one store.
type checker struct {
	store  *rclone.Store
	report *report
	err    error // the first
}

// check tries a destination.
func check(a *app, ctx context.Context, o *options) error {
	d, err := cloud.ParseDestination(o.args[0])
	if err != nil {
		return err
	}
	a.login = d.Login()
	r := &report{Destination: d.String()}
	if p, ok := account.ProviderOf(d.Kind); ok {
		r.Provider, r.Experimental, r.Sees, r.Limits = p.Name, p.Experimental, p.Sees, p.Limits
	}
	config, err := a.accounts.Config(ctx, inside(d))
	if err != nil {
		return err
	}
	config.Create = true
	c := &checker{report: r}
	start := time.Now()
	if c.store, err = rclone.Open(ctx, config); err != nil {
		return err // there is nothing to report about a place that cannot be had
	}
	r.Steps = append(r.Steps, step{Name: "open", Took: time.Since(start).Seconds()})
	defer c.store.Close()
	c.run(ctx)
	c.clean(ctx, inside(d).String())
	r.Passed = c.err == nil
	if err := a.Emit(r, r.print); err != nil || c.err == nil {
		return err
	}
	a.JSON = false // the one object was printed
	return fmt.Errorf("this cloud cannot hold backups: %w", c.err)
}

// inside is a place of its own in the destination, of a name nobody has.
func inside(d cloud.Destination) cloud.Destination {
	name := "keepsake-check-" + checkID
	if d.Path != "" {
		name = d.Path + "/" + name
	}
	d.Path = name
	return d
}

var checkID = newID()

func newID() string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// do takes a step; after one that failed the others are not taken.
func (c *checker) do(name string, f func() error) {
	if c.err != nil {
		return
	}
	start := time.Now()
	err := f()
	s := step{Name: name, Took: time.Since(start).Seconds()}
	if err != nil {
		c.err = fmt.Errorf("%s: %w", name, err)
		s.Error = plain(err)
	}
	c.report.Steps = append(c.report.Steps, s)
}

// cleanTime is how long the removal may take after an interruption.
const cleanTime = time.Minute

// clean removes all that was made, also after an interruption.
func (c *checker) clean(ctx context.Context, place string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	err := c.remove(ctx)
	if err == nil {
		err = c.store.Destroy(ctx)
	}
	n := c.store.Counters()
	c.report.Requests = n.Requests
	if err != nil {
		c.report.LeftBehind = place
		if c.err == nil {
			c.err = fmt.Errorf("cleaning up: %w", err)
		}
	}
}

// remove deletes all objects of the store.
func (c *checker) remove(ctx context.Context) error {
	var names []string
	err := c.store.List(ctx, "", func(i cloud.Info) error {
		names = append(names, i.Name)
		return nil
	})
	for _, name := range names {
		if e := c.store.Delete(ctx, name); e != nil && !errors.Is(e, cloud.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
