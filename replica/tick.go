package replica

// Ticks of 50 ms: what is lost in a group of wide-area distances (120 ms) is asked for
// again within one, and another leader is there within a second.
const (
	heartbeatTicks = 2
	electionTicks  = 8 // at least; at most twice that
)

// Tick tells the node that a tick of time has passed. The work that follows is
// done by the next Step.
func (n *Node) Tick() {
	if n.closed || n.halted != nil {
		return
	}
	n.raft.Tick()
}

// Time returns the quorum's time in milliseconds since 1970 (spec/replication.md
// §12). It never goes back here. 0: nothing is known yet.
func (n *Node) Time() uint64 { return n.c.Clock() }
