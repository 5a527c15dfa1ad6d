// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"ocm/deploy/v1alpha1"
)

// Limits of what is rendered.
const (
	MaxObjects  = 10_000   // objects of one rendering
	MaxDocument = 4 << 20  // bytes of one object
	MaxExpanded = 64 << 20 // bytes of an archive, unpacked
	MaxFiles    = 10_000   // of an archive
	MaxOutput   = 64 << 20 // bytes of all objects
)

// Source is content that becomes objects.
type Source struct {
	Name         string // for messages
	ResourceType string // of the descriptor, such as helmChart
	MediaType    string
	Content      io.Reader
}

// Options say how.
type Options struct {
	Format      v1alpha1.Format
	Path        string // inside of an archive; empty: its top
	Namespace   string // of the release of a chart
	ReleaseName string
	Values      map[string]any
	Revision    int  // of the release that is made; 1 is an installation
	Install     bool // whether the chart sees an installation; else it is an upgrade
	// Cluster is what charts may ask: its version, its APIs, and with lookup what the identity behind it may read. nil: charts that
	// ask get the answers of no cluster.
	Cluster *rest.Config
}

// Result is what was rendered.
type Result struct {
	Format  v1alpha1.Format              // that was used
	Objects []*unstructured.Unstructured // without hooks and CRDs of a chart, in the order of the content
	CRDs    []*unstructured.Unstructured // of the chart's crds folder
	Hooks   []Hook                       // of a chart, in the order in which they run
	Release *Release                     // of a chart
}

// Hook is an object of a chart that is applied at an event: pre-install, post-install, pre-upgrade, post-upgrade, pre-rollback,
// post-rollback, pre-delete, post-delete. Tests are left out.
type Hook struct {
	Object *unstructured.Unstructured
	Events []string
	Weight int
	// Delete says when the object is deleted: before-hook-creation, hook-succeeded, hook-failed.
	Delete []string
}

// Release is what helm keeps of a chart that was installed.
type Release struct {
	Name, Namespace     string
	Chart, ChartVersion string
	AppVersion, Notes   string
	release             any
}

// Render makes objects. [ocm.ErrInvalid] tells what cannot be read, [ocm.ErrLimit] what is too much. It does not touch the cluster
// but for reading, and never opens a connection of its own.
func Render(ctx context.Context, src Source, o Options) (*Result, error) {
	return nil, errors.ErrUnsupported
}

// States of a release.
const (
	StatePending    = "pending"
	StateDeployed   = "deployed"
	StateFailed     = "failed"
	StateSuperseded = "superseded"
)

// Record stores a release where "helm list" looks for it, as the identity behind cluster: the states of earlier ones are
// changed with it.
func Record(ctx context.Context, cluster *rest.Config, r *Release, state, description string) error {
	return errors.ErrUnsupported
}

// Forget removes all records of a release.
func Forget(ctx context.Context, cluster *rest.Config, namespace, name string) error {
	return errors.ErrUnsupported
}

// Image is the coordinates of an image where it is now.
type Image struct{ Registry, Path, Tag, Digest string }

// Part returns a part of the coordinates.
func (i Image) Part(p v1alpha1.Part) string { return "" }

// SetValues puts images into the values of a chart: [v1alpha1.Localization.Values]. [ocm.ErrInvalid] names the path.
func SetValues(values map[string]any, images map[string]Image, l []v1alpha1.Localization) error {
	return errors.ErrUnsupported
}

// Localize puts images into objects: [v1alpha1.Localization.Fields] and Replaces. [ocm.ErrNotFound] if an entry that names fields
// fits no object, [ocm.ErrInvalid] names the path.
func Localize(objects []*unstructured.Unstructured, images map[string]Image, l []v1alpha1.Localization) error {
	return errors.ErrUnsupported
}
