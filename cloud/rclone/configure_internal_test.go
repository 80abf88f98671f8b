package rclone

import (
	"context"
	"sync"
	"testing"

	"github.com/rclone/rclone/fs"
)

// What rclone keeps once for a process stays as it is while one Store after the other is opened alike: others that are being
// opened read it, without a lock, and would trust other certificates for a moment.
func TestConfigureTwiceChangesNothing(t *testing.T) {
	n := Network{CAs: []string{"ca.pem"}, Proxy: "http://127.0.0.1:1"}
	if err := configure(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := configure(Network{}); err != nil {
			t.Error(err)
		}
	})
	c := fs.GetConfig(context.Background())
	done := make(chan struct{})
	var opening sync.WaitGroup
	opening.Go(func() {
		defer close(done)
		for range 500 {
			if err := configure(n); err != nil {
				t.Error(err)
			}
		}
	})
	wrong := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if len(c.CaCert) != 1 || c.HTTPProxy != n.Proxy || c.Timeout != fs.Duration(idleTimeout) {
			wrong++
		}
	}
	opening.Wait()
	if wrong > 0 {
		t.Errorf("%d times something else was to be seen", wrong)
	}
}
