package sim

import (
	"context"

	"keepsake.example/replica"
	"keepsake.example/vault"
	"keepsake.example/vaultd/machine"
)

// hooks is where a test spoils a part on purpose. The zero value spoils nothing.
type hooks struct {
	wrap    func(*host, inner) inner
	decide  func(*call, *vault.Command) (*vault.Effect, error)
	time    func(*host) uint64 // instead of the group's time
	step    func(*host)        // called before a member works
	power   func(*host)        // called when the power of a host goes
	judged  func(*run)         // called at the end of a run
	mute    string             // an invariant that is not looked at
	lenient bool               // anchors take any count
	ambush  func(*faults)      // every run is one of many elections, and this lies in wait for one of them
	stalls  bool               // in every run processes are stopped often
}

func (k *hooks) machine(h *host) inner {
	var m inner = machine.New(machine.Root, nil)
	if k.wrap != nil {
		m = k.wrap(h, m)
	}
	return m
}

func (k *hooks) now(h *host) uint64 {
	if k.time != nil {
		return k.time(h)
	}
	return h.node.Time()
}

func (k *hooks) execute(c *call, command *vault.Command) (*vault.Effect, error) {
	if k.decide != nil {
		return k.decide(c, command)
	}
	return c.host.pool.door.Execute(c, c, command)
}

func (k *hooks) before(h *host) {
	if k.step != nil {
		k.step(h)
	}
}

func (k *hooks) cut(h *host) {
	if k.power != nil {
		k.power(h)
	}
}

func (k *hooks) open(h *host) (node, error) {
	n, err := replica.OpenNode(context.Background(), h.config())
	if err != nil {
		return nil, err
	}
	return n, nil
}
