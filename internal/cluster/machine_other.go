// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cluster

import (
	"errors"
	"fmt"
)

type machine struct{}

func (c *Cluster) startMachine(*Machine) error {
	return fmt.Errorf("%w: needs Linux: %w", errMachine, errors.ErrUnsupported)
}

func (*machine) stop() error { return nil }
