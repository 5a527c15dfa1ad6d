// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"testing"

	"ocm"
	"ocm/internal/repotest"
	"ocm/oci"
	"ocm/oci/memory"
)

func TestContractInMemory(t *testing.T) {
	repotest.Run(t, func(*testing.T) ocm.Repository {
		return oci.NewRepository(memory.New(), &ocm.Env{Job: ocm.NewJob(4)})
	})
}
