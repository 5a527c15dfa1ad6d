// SPDX-License-Identifier: Apache-2.0

// Package k8stest has only tests: of the controllers, in real clusters. They run in "make test-k8s"; package cluster says which
// programs they need, and how they are skipped.
package k8stest
