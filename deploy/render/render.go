// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"ocm"
	"ocm/blob"
	"ocm/deploy/v1alpha1"
)

// Limits of what is rendered.
const (
	MaxObjects  = 10_000   // objects of one rendering
	MaxDocument = 4 << 20  // bytes of one object
	MaxExpanded = 32 << 20 // bytes of an archive, unpacked
	MaxFiles    = 10_000   // of an archive
	MaxOutput   = 16 << 20 // bytes of all objects, as text and about in memory

	large = 4 << 20 // bytes of an archive, unpacked, of which only one is rendered at a time
)

// unpacking is the turn of who unpacks much: a controller has the memory for one archive that becomes as large as it may. Who has it keeps it
// until all is rendered; what is not large does not wait.
var unpacking = make(chan struct{}, 1)

// unpackAlone unpacks content. done must be called when what is in it is not needed any more.
func unpackAlone(ctx context.Context, r io.Reader) (all files, done func(), err error) {
	done = func() {}
	if isLarge(r) {
		select {
		case unpacking <- struct{}{}:
			done = sync.OnceFunc(func() { <-unpacking })
		case <-ctx.Done():
			return nil, done, fmt.Errorf("it waits for its turn to be unpacked: %w", ctx.Err())
		}
	}
	fine := false
	defer func() {
		if !fine { // also after a panic
			done()
		}
	}()
	all, err = unpack(ctx, r)
	fine = err == nil
	return all, done, err
}

// isLarge reports whether content becomes large when it is unpacked. What cannot be read twice is.
func isLarge(r io.Reader) bool {
	content, ok := r.(io.ReadSeeker)
	if !ok {
		return true
	}
	plain, _, err := blob.Gunzip(content)
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, io.LimitReader(plain, large+1))
		ok = err == nil && n <= large
	}
	_, again := content.Seek(0, io.SeekStart)
	return !ok || err != nil || again != nil
}

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

// Render makes objects. [ocm.ErrInvalid] tells what cannot be read, [ocm.ErrLimit] what is too much, [ocm.ErrNotFound] that there is
// nothing at the path, or not the API that a chart looks into, [ocm.ErrDenied] what the identity behind Options.Cluster must not read. It does not touch the cluster
// but for reading, and never opens a connection of its own. An error of the API server is returned as it is: it may be another one the
// next time.
//
// Charts and kustomizations are rendered in a process of its own, which can be ended and has next to no rights: see [Main].
func Render(ctx context.Context, src Source, o Options) (*Result, error) {
	r, err := render(ctx, src, o)
	if err != nil && src.Name != "" {
		err = fmt.Errorf("%s: %w", src.Name, err)
	}
	return r, err
}

func render(ctx context.Context, src Source, o Options) (*Result, error) {
	dir, err := cleanPath(o.Path)
	if err != nil {
		return nil, err
	}
	all, done, err := unpackAlone(ctx, src.Content)
	if err != nil {
		return nil, err
	}
	defer done()
	format, dir, err := detect(src, o.Format, all, dir)
	if err != nil {
		return nil, err
	}
	switch format {
	case v1alpha1.FormatHelm:
		return renderChart(ctx, all, dir, o)
	case v1alpha1.FormatKustomize:
		return renderKustomization(ctx, all, dir)
	}
	objects, err := manifests(ctx, all, dir)
	if err != nil {
		return nil, err
	}
	return &Result{Format: v1alpha1.FormatManifests, Objects: objects}, nil
}

// detect decides what content is: by what was asked for, by the type of the resource, by what is in it. For a chart it also says in
// which directory that is: archives of charts have one at their top.
func detect(src Source, format v1alpha1.Format, all files, dir string) (v1alpha1.Format, string, error) {
	chartDir, isChart := findChart(all, dir)
	switch format {
	case "", v1alpha1.FormatAuto:
		format = v1alpha1.FormatManifests
		if isChart || isChartType(src) {
			format = v1alpha1.FormatHelm
		} else if kustomization(all, dir) != "" {
			format = v1alpha1.FormatKustomize
		}
	case v1alpha1.FormatHelm, v1alpha1.FormatKustomize, v1alpha1.FormatManifests:
	default:
		return "", "", fmt.Errorf("spec.format %.50q: expected Auto, Manifests, Helm or Kustomize: %w", format, ocm.ErrInvalid)
	}
	if format == v1alpha1.FormatHelm && !isChart {
		return "", "", fmt.Errorf("expected a chart at spec.path %q, found no Chart.yaml: there is %s: %w", dir, all.top(), ocm.ErrInvalid)
	}
	if format == v1alpha1.FormatHelm {
		dir = chartDir
	}
	return format, dir, nil
}

// isChartType reports whether a descriptor says that a resource is a chart.
func isChartType(src Source) bool {
	return slices.Contains([]string{"helmChart", "helm.io/chart", "helm.chart"}, src.ResourceType) ||
		strings.HasPrefix(src.MediaType, "application/vnd.cncf.helm.chart.content.")
}

// findChart finds the directory of a chart: the given one, or the only one at the top of an archive.
func findChart(all files, dir string) (string, bool) {
	if _, ok := all[path.Join(dir, chartFile)]; ok {
		return dir, true
	}
	if dir != "" {
		return "", false
	}
	for name := range all {
		first, _, isBelow := strings.Cut(name, "/")
		if !isBelow || dir != "" && first != dir {
			return "", false
		}
		dir = first
	}
	_, ok := all[path.Join(dir, chartFile)]
	return dir, ok
}
