package vaultd

import (
	"context"
	"errors"
	"fmt"

	"keepsake.example/anchor"
	"keepsake.example/roster"
)

// fleetKeyOf is the public half of the fleet key in a device: zeros where there is no
// device, or no such key in it.
func fleetKeyOf(ctx context.Context, d anchor.Device) (public [anchor.PointSize]byte, err error) {
	if d == nil {
		return public, nil
	}
	k, err := d.FleetKey(ctx)
	if errors.Is(err, anchor.ErrNoFleetKey) {
		return public, nil
	}
	if err != nil {
		return public, fmt.Errorf("looking for the fleet's key in the device: %w", err)
	}
	return k.Public(), nil
}

// checkFleetKey refuses a machine that lacks the key which its fleet is hardened with,
// or has another one.
func checkFleetKey(ctx context.Context, d anchor.Device, r *roster.Roster) error {
	if !r.Hardened() {
		return nil
	}
	public, err := fleetKeyOf(ctx, d)
	switch {
	case err != nil:
		return err
	case public == [anchor.PointSize]byte{}:
		return ErrFleetKey
	case public != r.Hardening:
		return fmt.Errorf("%w: it holds another one", ErrFleetKey)
	}
	return nil
}
