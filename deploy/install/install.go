// SPDX-License-Identifier: Apache-2.0

// Package install holds what brings the controllers into a cluster: the Helm chart, and the same as plain manifests. It knows
// nothing of Kubernetes, so that the ocm command can print manifests without linking any of it.
//
// The chart (folder chart) is the one source: manifests.yaml is what Helm makes of it, with placeholders where
// [Manifests] puts in what a cluster needs. The definitions of our kinds are files of the chart as well.
package install

// Names that are part of the contract: people bind rights to the service account <release>-controller-manager in this namespace.
const (
	DefaultRelease   = "ocm-k8s-toolkit"
	DefaultNamespace = "ocm-k8s-toolkit-system"
)
