// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// FieldManager is who applies, in managedFields.
const FieldManager = "delivery.ocm.software/applyset"

// Ref names an object.
type Ref struct {
	APIVersion, Kind, Namespace, Name string
	UID                               types.UID
}

// String is Kind namespace/name.
func (r Ref) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// Parent is the object that owns what is applied: a Deployer.
type Parent struct {
	APIVersion, Kind, Name string
	UID                    types.UID
	Tooling                string // for applyset.kubernetes.io/tooling, such as ocm/1.2.0
}

// ID is the value of the label applyset.kubernetes.io/part-of of members (KEP-3659).
func (p Parent) ID() string { return "" }

// Cluster applies objects as one identity. It may be used concurrently, and is worth keeping: it knows the cluster's APIs.
type Cluster struct{}

// New connects as the identity in cfg; nothing is sent yet.
func New(cfg *rest.Config) (*Cluster, error) { return nil, errors.ErrUnsupported }

// Set is what is applied together.
type Set struct {
	Parent    Parent
	Objects   []*unstructured.Unstructured
	Namespace string // of namespaced objects that name none
	// Labels and Annotations that all objects get.
	Labels, Annotations map[string]string
	// Known are members of before, which are pruned if they are no longer among the objects.
	Known []Ref
	Prune bool
}

// Applied is what came of it.
type Applied struct {
	Members []Ref // all that are there now, in the order in which they were applied
	Changed []Ref // that were created or changed
	Pruned  []Ref
	// GroupKinds and Namespaces of members, for the annotations of the parent (contains-group-kinds, additional-namespaces).
	GroupKinds, Namespaces []string
}

// Check asks the server whether it would accept all objects, without changing anything, as far as that can be known before namespaces
// and definitions are there. The error names every object that is refused and why; [ocm.ErrDenied] if the identity is not allowed to.
func (c *Cluster) Check(ctx context.Context, s Set) error { return errors.ErrUnsupported }

// Apply brings the set into the cluster, in the order in which objects need each other: namespaces and definitions first (and waits until
// these are served), what is only read next, workloads, webhooks last. The rest is pruned after everything was applied. An object that
// belongs to another set, or is controlled by another owner, is refused ([ocm.ErrConflict]). [ocm.ErrDenied] names what the identity
// may not do. What was applied before an error is in Applied.
func (c *Cluster) Apply(ctx context.Context, s Set) (*Applied, error) {
	return nil, errors.ErrUnsupported
}

// Diff tells what Apply would change, as a unified diff of at most max bytes; data of Secrets never appears, also not that of the
// cluster's object.
func (c *Cluster) Diff(ctx context.Context, s Set, max int) (string, error) {
	return "", errors.ErrUnsupported
}

// Drift lists members that are not as they were applied, or not there.
func (c *Cluster) Drift(ctx context.Context, s Set) ([]Ref, error) { return nil, errors.ErrUnsupported }

// Delete deletes members, in the opposite order; done is false while some are still there.
func (c *Cluster) Delete(ctx context.Context, p Parent, members []Ref) (done bool, err error) {
	return false, errors.ErrUnsupported
}

// Health of an object.
type Health struct {
	Ref     Ref
	Healthy bool
	Failed  bool   // it will not become healthy by waiting
	Message string // why not
}

// Health looks at members, by the rules of kstatus.
func (c *Cluster) Health(ctx context.Context, members []Ref) ([]Health, error) {
	return nil, errors.ErrUnsupported
}
