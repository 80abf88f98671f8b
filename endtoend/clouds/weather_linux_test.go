package clouds_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/cloud/faulty"
)

// 200 ms there and back, and 1 Mbit/s.
func TestFarAndNarrow(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) *site{"S3": s3, "WebDAV": webdav, "SFTP": ssh} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, where(t), note(t))
			p.site.SetWay(faulty.Way{Latency: 100 * time.Millisecond, Rate: 125_000})
			start := time.Now()
			p.backup().wants(0)
			t.Logf("a backup of a note took %v", time.Since(start).Round(10*time.Millisecond))
			start = time.Now()
			p.restored()
			t.Logf("restoring it on a new device took %v", time.Since(start).Round(10*time.Millisecond))
		})
	}
}

// A third of all requests is refused: too many, an error within, not available; some
// refusals say when to come back.
func TestStorm(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) *site{"S3": s3, "WebDAV": webdav} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, where(t), must(history()))
			p.site.SetPlan(func(faulty.Request) faulty.Fault {
				if rand.N(3) > 0 {
					return faulty.Fault{}
				}
				f := []faulty.Fault{
					faulty.S3Error(503, "SlowDown", "Please reduce your request rate."),
					faulty.S3Error(500, "InternalError", "We encountered an internal error. Please try again."),
					{Status: 429}, {Status: 503},
				}[rand.N(4)]
				if rand.N(4) == 0 {
					f.RetryAfter = time.Second
				}
				return f
			})
			p.backup().wants(0)
			p.restored()
			if n := p.site.Counts().Faults; n < 3 {
				t.Errorf("only %d requests were refused", n)
			}
			p.site.SetPlan(nil)
			p.verified()
		})
	}
}

// A cloud that refuses everything for longer than one waits: the run ends in time,
// with the exit code for it, and the next one goes on.
func TestStormWithoutEnd(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), note(t))
	p.site.SetPlan(func(r faulty.Request) faulty.Fault {
		if r.Method == "PUT" {
			return faulty.S3Error(503, "SlowDown", "Please reduce your request rate.")
		}
		return faulty.Fault{}
	})
	p.backup("--retry-for", "3s").wants(8, "hint:", "next run")
	p.site.SetPlan(func(faulty.Request) faulty.Fault {
		return faulty.Fault{Status: 503, RetryAfter: 24 * time.Hour}
	})
	p.backup().wants(8, "24h0m0s")
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.restored()
}

// A refusal that no waiting mends ends the run at once.
func TestDenied(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	p.site.SetPlan(onPacks(faulty.Fault{}, faulty.S3Error(403, "AccessDenied", "Access Denied")))
	p.backup().wants(10, "hint:")
	if n := p.site.Counts().Faults; n != 1 {
		t.Errorf("refused %d times, want once", n)
	}
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.restored()
}

// A server whose disk is full says so, and the run ends at once; or it has no word for it, and the
// person hears soon what is waited for, and in the end what may be wrong.
func TestServerWithoutRoom(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	p.site.SetPlan(onPacks(faulty.S3Error(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")))
	p.backup().wants(10, "hint:", "room")
	p.site.SetPlan(func(r faulty.Request) faulty.Fault {
		if isPack(r) {
			return faulty.S3Error(500, "InternalError", "Internal Error")
		}
		return faulty.Fault{}
	})
	r := p.backup("--retry-for", "8s").wants(8, "hint:", "the server in order")
	notice, end, ok := strings.Cut(r.errs, "keepsake: error:")
	for what, said := range map[string]string{"notice": notice, "end": end} {
		if !ok || !strings.Contains(said, "its disk may be full") {
			t.Errorf("the %s does not name the reason: %q", what, said)
		}
	}
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.restored()
}

// Downloads are cut off, in good order or not, and lie about their length.
func TestDownloads(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) *site{"S3": s3, "WebDAV": webdav} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, where(t), must(history()))
			p.backup().wants(0)
			var once sync.Map // what is wrong twice in a row is rightly called damaged
			p.site.SetPlan(func(r faulty.Request) faulty.Fault {
				if _, had := once.LoadOrStore(r.URL.Path+r.Header.Get("Range"), true); r.Method != "GET" || had || rand.N(4) == 0 {
					return faulty.Fault{}
				}
				if isListing(r) {
					return faulty.Fault{Truncate: 1 + rand.N[int64](300)}
				}
				return []faulty.Fault{
					{Truncate: 1 + rand.N[int64](3_000_000)}, {Truncate: 1}, {Lie: 1 + rand.N[int64](1000)}, {Lie: -1 - rand.N[int64](1000)}, {Lose: true}, {Refuse: true},
				}[rand.N(6)]
			})
			p.site.Forget()
			p.restored()
			if n := p.site.Counts().Faults; n < 3 {
				t.Errorf("only %d downloads had a fault", n)
			}
		})
	}
}

// isListing says of a request to S3 that it lists objects, in either version.
func isListing(r faulty.Request) bool { return r.Method == "GET" && r.URL.Query().Has("prefix") }

// A listing of which nothing comes, with a length that says so, is no empty cloud.
func TestListingOfNothing(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), note(t))
	p.backup().wants(0)
	for n := range 4 {
		lists := make(chan int, 1)
		lists <- 0
		p.site.SetPlan(func(r faulty.Request) faulty.Fault {
			if !isListing(r) {
				return faulty.Fault{}
			}
			seen := <-lists
			lists <- seen + 1
			if seen == n {
				return faulty.Fault{Lie: -1 << 20}
			}
			return faulty.Fault{}
		})
		p.restored()
	}
	if p.site.Counts().Faults == 0 {
		t.Error("no listing met a fault")
	}
}

// SFTP's downloads break with their connection.
func TestDownloadsBySFTP(t *testing.T) {
	t.Parallel()
	p := newPerson(t, ssh(t), must(history()))
	p.backup().wants(0)
	p.site.Forget()
	p.site.SetWay(faulty.Way{Cut: func(n int) (up, down int64) { return 0, int64(n%4) * 7_777_777 }})
	p.restored()
	if n := p.site.Counts().Connections; n < 3 {
		t.Errorf("%d connections, want more", n)
	}
}

// The server's clock, or this device's, is off by an hour: it says so, and with the
// right time the next run goes on.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), note(t))
	p.site.SetPlan(func(faulty.Request) faulty.Fault { return faulty.Fault{Skew: time.Hour} })
	if r := p.backup(); r.code != 0 { // signed with the server's time, it may succeed
		r.wants(10, "clock is", "here and", "hint: compare the two")
	}
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.restored()
}

// The bucket is removed while a backup runs, and comes back.
func TestBucketRemoved(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	gone := func(r faulty.Request) faulty.Fault {
		return faulty.S3Error(404, "NoSuchBucket", "The specified bucket does not exist.")
	}
	first := onPacks(faulty.Fault{})
	p.site.SetPlan(func(r faulty.Request) faulty.Fault {
		if isPack(r) { // the first of them still comes
			p.site.SetPlan(gone)
		}
		return first(r)
	})
	p.backup("--retry-for", "2s").wants(8, "hint:")
	// Whoever opens it anew hears that it is not there, at once.
	p.backup("--retry-for", "1s").wants(4, "is it the right place", "hint:")
	p.run("verify", "--profile", p.path("profile"), "--retry-for", "1s").wants(4, "hint:")
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.verified()
	p.restored()
}
