package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"keepsake.example/sealed"
)

// loadResult is one run of part (b).
type loadResult struct {
	name      string
	offered   float64 // recoveries a second; 0: as many as go with so many at once
	clients   int
	done      int
	wall      time.Duration
	vault     time.Duration // processor time of vaultd
	generator time.Duration // and of this program, meanwhile
	recovery  []time.Duration
	request   []time.Duration
}

func (r *loadResult) rate() float64 { return float64(r.done) / r.wall.Seconds() }

// percentile of a sorted list.
func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

// connection speaks HTTP/1.1 with requests made before, and reads nothing of an
// answer but its status, length and body: the generator must cost little.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func (p *process) connect() (*connection, error) {
	c, err := p.dial()
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReaderSize(c, 8192)}, nil
}

var (
	head     = []byte(fmt.Sprintf("POST /v1/request HTTP/1.1\r\nHost: vaultd\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", sealed.RequestSize))
	statusOK = []byte("HTTP/1.1 200 ")
)

// wire is a request as it goes over the connection.
func wire(b []byte) []byte { return append(bytes.Clone(head), b...) }

func (c *connection) ask(message []byte) ([]byte, error) {
	if _, err := c.Write(message); err != nil {
		return nil, err
	}
	first := true
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if first && !bytes.HasPrefix(line, statusOK) {
			return nil, fmt.Errorf("vaultd: %s", bytes.TrimSpace(line))
		}
		first = false
		if len(line) <= 2 {
			break
		}
	}
	answer := make([]byte, sealed.AnswerSize)
	_, err := io.ReadFull(c.r, answer)
	return answer, err
}

// job is one recovery, ready to send.
type job struct {
	requests [2]request
	wire     [2][]byte
	answers  [2][]byte
	due      time.Time
	took     [2]time.Duration
	recovery time.Duration
	err      error
}

// prepare makes so many recoveries, spread over all people in turn: so many
// others lie between two of one person.
func prepare(people []*person, n int) ([]*job, error) {
	jobs := make([]*job, n)
	var all sync.WaitGroup
	errs := make(chan error, 2)
	for half := range 2 {
		all.Go(func() {
			for i := half; i < n; i += 2 {
				r, err := people[i%len(people)].recovery()
				if err != nil {
					errs <- err
					return
				}
				j := &job{requests: [2]request(r)}
				for k := range r {
					j.wire[k] = wire(r[k].bytes)
					j.requests[k].bytes = nil
				}
				jobs[i] = j
			}
		})
	}
	all.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return jobs, nil
	}
}

// do makes one recovery. Its time runs from when it was due: a generator that is
// late for want of a free client must not make the vault look fast.
func (j *job) do(c *connection) {
	begin := j.due
	if begin.IsZero() {
		begin = time.Now()
	}
	start := begin
	for i := range j.wire {
		j.answers[i], j.err = c.ask(j.wire[i])
		if j.err != nil {
			return
		}
		now := time.Now()
		j.took[i], start = now.Sub(start), now
	}
	j.recovery = time.Since(begin)
}

// vaults are the members of a fleet, or one that is alone. Clients are spread over
// the first of them, of which there are so many.
type vaults struct {
	all   []*process
	asked int
}

func alone(p *process) vaults { return vaults{[]*process{p}, 1} }

// connect opens the connection of client i.
func (v vaults) connect(i int) (*connection, error) { return v.all[i%v.asked].connect() }

func (v vaults) cpuTime() (sum time.Duration) {
	for _, p := range v.all {
		sum += p.cpuTime()
	}
	return sum
}

// run makes all jobs with so many clients; rate 0 means as fast as they go.
func (v vaults) run(name string, jobs []*job, clients int, rate float64) (*loadResult, error) {
	connections := make([]*connection, clients)
	for i := range connections {
		var err error
		if connections[i], err = v.connect(i); err != nil {
			return nil, err
		}
		defer connections[i].Close()
	}
	queue := make(chan *job, len(jobs))
	vaultBefore, ownBefore, begin := v.cpuTime(), cpuTime(), time.Now()
	var all sync.WaitGroup
	for _, c := range connections {
		all.Go(func() {
			for j := range queue {
				j.do(c)
			}
		})
	}
	feed(queue, jobs, rate, begin)
	all.Wait()
	r := &loadResult{name: name, offered: rate, clients: clients, done: len(jobs), wall: time.Since(begin), vault: v.cpuTime() - vaultBefore, generator: cpuTime() - ownBefore}
	return r, r.collect(jobs)
}

// feed hands the jobs out, each when it is due.
func feed(queue chan<- *job, jobs []*job, rate float64, begin time.Time) {
	for i, j := range jobs {
		if rate > 0 {
			j.due = begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			time.Sleep(time.Until(j.due))
		}
		queue <- j
	}
	close(queue)
}

// collect opens every answer, refuses any that is not ok, and gathers the times.
func (r *loadResult) collect(jobs []*job) error {
	for i, j := range jobs {
		if j.err != nil {
			return fmt.Errorf("recovery %d: %w", i, j.err)
		}
		for k, q := range j.requests {
			if err := q.check(j.answers[k]); err != nil {
				return fmt.Errorf("recovery %d: %w", i, err)
			}
			r.request = append(r.request, j.took[k])
		}
		r.recovery = append(r.recovery, j.recovery)
	}
	slices.Sort(r.recovery)
	slices.Sort(r.request)
	return nil
}

// register registers all people over HTTP, a few at a time.
func (v vaults) register(people []*person) error {
	work, errs := make(chan *person, len(people)), make(chan error, 32)
	for _, x := range people {
		work <- x
	}
	close(work)
	var all sync.WaitGroup
	for i := range cap(errs) {
		all.Go(func() {
			if err := v.registerSome(i, work); err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

func (v vaults) registerSome(client int, work <-chan *person) error {
	k := keeper{vaults: v, client: client}
	defer k.hangUp()
	for x := range work {
		requests, err := x.registration()
		if err != nil {
			return err
		}
		for _, q := range requests {
			if err := k.insist(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// keeper asks until there is an answer, the same all the time, as chatd does: while a
// fleet elects nobody answers. It keeps a connection as long as it is good.
type keeper struct {
	vaults
	client int
	c      *connection
}

func (k *keeper) insist(q request) (err error) {
	for range 600 {
		var answer []byte
		if answer, err = k.ask(q); err == nil {
			return q.check(answer)
		}
		k.hangUp()
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func (k *keeper) ask(q request) (answer []byte, err error) {
	if k.c == nil {
		if k.c, err = k.connect(k.client); err != nil {
			return nil, err
		}
	}
	k.c.SetDeadline(time.Now().Add(10 * time.Second))
	return k.c.ask(wire(q.bytes))
}

func (k *keeper) hangUp() {
	if k.c != nil {
		k.c.Close()
		k.c = nil
	}
}
