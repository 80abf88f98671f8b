package desktop

import "time"

// Buses of tests answer, however busy the machine is.
func init() { patience = time.Minute }
