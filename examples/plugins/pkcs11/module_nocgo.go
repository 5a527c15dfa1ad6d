// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
)

// module is what is left of a PKCS#11 module without cgo: a message.
type module struct{}

func newModule(string) token { return module{} }

func (module) sign(context.Context, string, string, string, crypto.Hash, []byte) ([]byte, crypto.PublicKey, error) {
	return nil, nil, fmt.Errorf("this plugin was built without cgo, which PKCS#11 needs: build it with CGO_ENABLED=1: %w", errors.ErrUnsupported)
}
