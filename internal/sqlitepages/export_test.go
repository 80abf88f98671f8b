package sqlitepages

// Settle and StateAt let tests look at a state from a later moment instead of
// waiting for it.
const Settle = settle

var StateAt = stateAt
