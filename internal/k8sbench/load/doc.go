// SPDX-License-Identifier: Apache-2.0

// Package load is what the benchmark of the controllers and the small test of the same in internal/k8stest have in common:
// component versions in a registry, objects of a cluster that want them, and a look at whether all are ready.
//
// It is never part of a program that people use.
package load

import (
	"fmt"

	"ocm/deploy/v1alpha1"
)

// Plan says how much there is.
type Plan struct {
	Components int // objects
	Resources  int // objects for each of them, at most [PerVersion]
	Versions   int // component versions in the registry, which the Components share
}

// PerVersion is how many resources each component version has.
const PerVersion = 12

// Objects is how many objects there are: the Components, their Resources, and one Repository.
func (p Plan) Objects() int { return 1 + p.Components*(1+p.Resources) }

// Namespace and Repository are the names under which the objects are made.
const (
	Namespace  = "bench"
	Repository = "bench"
)

// Kinds are the kinds of the objects, in the order in which they depend on each other.
func Kinds() []string {
	return []string{v1alpha1.KindRepository, v1alpha1.KindComponent, v1alpha1.KindResource}
}

func componentName(i int) string { return fmt.Sprintf("bench.example/part-%02d", i) }

func resourceName(i int) string { return fmt.Sprintf("resource-%02d", i) }

const version = "1.0.0"

// signature is the name of the one that all versions have.
const signature = "release"
