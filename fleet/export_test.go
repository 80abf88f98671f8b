package fleet

// ErrID is told apart by tests; callers have no use for it.
var ErrID = errID
