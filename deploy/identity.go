// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
)

// identity is a service account in whose name a product is deployed. The rights of the controller itself are never used for objects
// of products: who may write a Deployer, or publish a component, would have them, too.
type identity types.NamespacedName

func (i identity) String() string { return "system:serviceaccount:" + i.Namespace + ":" + i.Name }

// config is that of a connection in the name of the identity. Groups are not named: the API server knows those of a service account, and who
// may name groups may name system:masters.
func (i identity) config(cfg *rest.Config) *rest.Config {
	c := rest.CopyConfig(cfg)
	c.Impersonate = rest.ImpersonationConfig{UserName: i.String()}
	return c
}

// identify says in whose name a Deployer deploys: the service account of its spec, which is in the namespace of the Resource, or the one that
// the installation has for this purpose.
func identify(d *v1alpha1.Deployer, fallback types.NamespacedName) (identity, error) {
	ns := d.Spec.ResourceRef.Namespace
	if problems := validation.IsDNS1123Label(ns); len(problems) > 0 {
		return identity{}, fmt.Errorf("spec.resourceRef.namespace: %q: %w: %s", ns, ocm.ErrInvalid, strings.Join(problems, ", "))
	}
	name := d.Spec.ServiceAccountName
	if name == "" && fallback.Name == "" {
		return identity{}, fmt.Errorf("spec.serviceAccountName: not set, and the installation names no identity for this: %w", ocm.ErrDenied)
	}
	if name == "" {
		return identity(fallback), nil
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return identity{}, fmt.Errorf("spec.serviceAccountName: %q: %w: %s", name, ocm.ErrInvalid, strings.Join(problems, ", "))
	}
	return identity{Namespace: ns, Name: name}, nil
}

// deputy is the cluster as one identity sees it.
type deputy struct {
	cluster       cluster
	client.Client // not cached
	as            identity
	config        *rest.Config
}

// maxDeputies bounds the connections that are kept.
const maxDeputies = 256

// deputies keeps connections.
type deputies struct {
	connect func(identity) (*deputy, error)
	mu      sync.Mutex
	known   map[identity]*deputy
}

// get returns the connection of an identity.
func (s *deputies) get(i identity) (*deputy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.known[i]; d != nil {
		return d, nil
	}
	d, err := s.connect(i)
	if err != nil {
		return nil, fmt.Errorf("connect as %s: %w", i, err)
	}
	for other := range s.known {
		if len(s.known) < maxDeputies {
			break
		}
		delete(s.known, other)
	}
	s.known[i] = d
	return d, nil
}

// connect connects to the cluster in the name of an identity.
func (b *base) connect(i identity) (*deputy, error) {
	cfg := i.config(b.GetConfig())
	a, err := apply.New(cfg)
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg, client.Options{Scheme: b.GetScheme(), Mapper: b.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	return &deputy{cluster: a, Client: c, as: i, config: cfg}, nil
}
