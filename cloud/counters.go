package cloud

// Counters say what a store has asked of its provider since it was opened.
type Counters struct {
	Requests int64 // requests of the provider's own protocol
	Sent     int64 // bytes of bodies to the provider
	Received int64 // bytes of bodies from it
}

// CountersOf asks a store, or what it wraps, for its counters: a method
// Counters() Counters. A store without one counts nothing.
func CountersOf(s Store) Counters {
	if c, ok := s.(interface{ Counters() Counters }); ok {
		return c.Counters()
	}
	return Counters{}
}
