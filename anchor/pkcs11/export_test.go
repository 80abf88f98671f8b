package pkcs11

// StateSize is the length of a state in bytes.
const StateSize = stateSize

// Tap puts functions between the package and the module; each may be nil.
func (o *Options) Tap(call func(name string, do func() error) error, flags func(uint) uint) {
	o.tap = &tap{call, flags}
}

// DecodeState reads a state and writes it again.
func DecodeState(b []byte) ([]byte, error) {
	s, err := decodeState(b)
	if err != nil {
		return nil, err
	}
	return s.encode(), nil
}
