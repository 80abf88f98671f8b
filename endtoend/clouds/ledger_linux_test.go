package clouds_test

import (
	"strings"
	"sync"
	"testing"

	"keepsake.example/cloud/faulty"
)

// What a pack takes at most on the way, and how many are under way at a time.
const (
	packSize    = 17 << 20
	connections = 4
)

// isPack says of a request that it stores a pack of contents.
func isPack(r faulty.Request) bool {
	return r.Method == "PUT" && strings.Contains(r.URL.Path, "/data/")
}

// clean is what a backup without faults stores of the history, by its folder.
var clean = struct {
	sync.Mutex
	bytes map[string]int64
}{bytes: make(map[string]int64)}

func (p *person) clean() int64 {
	p.t.Helper()
	clean.Lock()
	defer clean.Unlock()
	if clean.bytes[p.chats] == 0 {
		c := newPerson(p.t, s3(p.t), p.chats)
		c.backup().wants(0)
		_, clean.bytes[p.chats] = c.site.stored(p.t)
	}
	return clean.bytes[p.chats]
}

// wantNothingTwice checks what so many interruptions cost: at most one pack for each
// connection was sent again, and nothing is stored twice.
func (p *person) wantNothingTwice(t *testing.T, interruptions int) {
	t.Helper()
	clean := p.clean()
	objects, stored := p.site.stored(t)
	sent := p.site.Counts().BodyUp
	if sent == 0 { // SSH, where nobody sees what is body and what is not
		sent = p.site.Counts().Up
	}
	again := sent - stored
	if most := int64(interruptions*connections) * packSize; again > most {
		t.Errorf("%d bytes were sent again after %d interruptions, want at most %d", again, interruptions, most)
	}
	// Half-filled packs of a run that ended early are what is more.
	if most := clean + int64(interruptions)*1<<20 + 1<<20; stored > most {
		t.Errorf("%d bytes in %d objects are stored, want about the %d of a clean run", stored, objects, clean)
	}
	t.Logf("%d interruptions: %d bytes sent again, %d stored, %d by a clean run", interruptions, again, stored, clean)
}

// onPacks gives the uploads of packs the faults in turn, and after them none.
func onPacks(faults ...faulty.Fault) func(faulty.Request) faulty.Fault {
	left := make(chan faulty.Fault, len(faults))
	for _, f := range faults {
		left <- f
	}
	return func(r faulty.Request) faulty.Fault {
		if !isPack(r) {
			return faulty.Fault{}
		}
		select {
		case f := <-left:
			return fromTheEnd(f, r)
		default:
			return faulty.Fault{}
		}
	}
}

// fromTheEnd gives a fault whose position counts from the end its place in a request.
func fromTheEnd(f faulty.Fault, r faulty.Request) faulty.Fault {
	if f.CutUp < 0 {
		f.CutUp += r.ContentLength
	}
	return f
}
