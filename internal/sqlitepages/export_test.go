package sqlitepages

// Settle and StateAt let tests look at a state from a later moment instead of
// waiting for it.
const Settle = settle

var StateAt = stateAt

// Direct reports whether the pages are read from the file itself.
func (c *Capture) Direct() bool { return c.direct }

// AtRest asks again whether they may be, of the file at path.
func (c *Capture) AtRest(path string, first []byte) bool { return c.atRest(path, first) }
