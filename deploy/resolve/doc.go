// SPDX-License-Identifier: Apache-2.0

// Package resolve answers what controllers ask about component versions: which version is wanted, whether it is what was signed, where
// its resources are, and what is in them. It knows nothing of Kubernetes, and waits for answers: callers put it on a pool.
//
// Configurations come from tenants. Nothing in them reaches files, variables or programs of the process, and nobody gets an answer, a
// connection or a token that was got with the configuration of somebody else.
package resolve
