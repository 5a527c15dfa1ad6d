// SPDX-License-Identifier: Apache-2.0

// Package apply brings objects into a cluster, and takes away those that are no longer wanted.
package apply

import (
	_ "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	_ "k8s.io/client-go/kubernetes"
)
