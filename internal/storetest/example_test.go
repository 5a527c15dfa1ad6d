// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"testing"

	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/oci/memory"
)

// The test of a store is one line, plus what is special about it.
func ExampleRun() {
	_ = func(t *testing.T) { // TestContract
		storetest.Run(t, func(t *testing.T) oci.Store { return memory.New() })
	}
}
