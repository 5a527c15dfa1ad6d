// SPDX-License-Identifier: Apache-2.0

// Package expression evaluates the CEL expressions of tenants: those in additionalStatusFields of a Resource, and those that become
// values of a chart. They read a resource, and turn accesses into coordinates that kubelet, Flux and Argo CD understand.
//
// An expression can compute, and nothing else: it reaches no file, no network and no other object. Length, depth, steps, memory, time and
// size of the result are bounded, so that the worst of them costs its own object a failure.
package expression
