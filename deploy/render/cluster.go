// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"ocm"
)

const (
	maxAnswer = 16 << 20 // bytes of one answer of the API server
	maxListed = 1000     // objects of a lookup
)

// boundedTo is a configuration whose answers have an end.
func boundedTo(cfg *rest.Config, limit int64) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	if cfg.QPS == 0 && cfg.RateLimiter == nil {
		cfg.QPS = -1 // what a chart asks is bounded; the default would make it wait for most of its time
	}
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := rt.RoundTrip(r)
			if err == nil {
				resp.Body = &boundedBody{resp.Body, limit, limit}
			}
			return resp, err
		})
	})
	return cfg
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("an answer of the API server of more than %d bytes: %w", b.limit, ocm.ErrLimit)
	}
	return n, err
}

// cluster answers what one chart asks, as one identity, one question at a time.
type cluster struct {
	discovery *discovery.DiscoveryClient
	dynamic   dynamic.Interface
	known     map[string]*metav1.APIResourceList // by group and version
}

func newCluster(cfg *rest.Config) (*cluster, error) {
	cfg = boundedTo(cfg, maxAnswer)
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	c, err := dynamic.NewForConfig(cfg)
	return &cluster{d, c, map[string]*metav1.APIResourceList{}}, err
}

// capabilities are the version of the cluster and its APIs, in the form in which charts ask for them: apps/v1 and apps/v1/Deployment.
func (c *cluster) capabilities(ctx context.Context) (version string, apis []string, err error) {
	info, err := c.discovery.ServerVersionWithContext(ctx)
	if err != nil {
		return "", nil, explainAPI("version of the cluster", err)
	}
	groups, lists, err := c.discovery.ServerGroupsAndResourcesWithContext(ctx)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) { // one extension that is down is no reason to stop
		return "", nil, explainAPI("APIs of the cluster", err)
	}
	for _, g := range groups {
		for _, v := range g.Versions {
			apis = append(apis, v.GroupVersion)
		}
	}
	for _, list := range lists {
		for _, r := range list.APIResources {
			apis = append(apis, list.GroupVersion+"/"+r.Kind)
		}
	}
	slices.Sort(apis)
	return info.GitVersion, slices.Compact(apis), nil
}

// lookup is the function lookup of helm: an object, a list of objects if there is no name, and nothing if it is not there.
func (c *cluster) lookup(ctx context.Context, l lookup) (map[string]any, error) {
	what := fmt.Sprintf("lookup %.100q %.100q %.300q %.300q", l.APIVersion, l.Kind, l.Namespace, l.Name)
	gv, err := schema.ParseGroupVersion(l.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", what, err, ocm.ErrInvalid)
	}
	for _, part := range []string{l.Namespace, l.Name} {
		if len(content.IsPathSegmentName(part)) > 0 {
			return nil, fmt.Errorf("%s: not a name: %w", what, ocm.ErrInvalid)
		}
	}
	list := c.known[gv.String()]
	if list == nil {
		if list, err = c.discovery.ServerResourcesForGroupVersionWithContext(ctx, gv.String()); err != nil {
			return nil, explainAPI(what, err)
		}
		c.known[gv.String()] = list
	}
	i := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == l.Kind && !strings.Contains(r.Name, "/") })
	if i < 0 {
		return map[string]any{}, nil
	}
	resource := c.dynamic.Resource(gv.WithResource(list.APIResources[i].Name))
	client := dynamic.ResourceInterface(resource)
	if list.APIResources[i].Namespaced && l.Namespace != "" {
		client = resource.Namespace(l.Namespace)
	}
	var object interface{ UnstructuredContent() map[string]any }
	if l.Name != "" {
		object, err = client.Get(ctx, l.Name, metav1.GetOptions{})
	} else {
		var all *unstructured.UnstructuredList
		all, err = client.List(ctx, metav1.ListOptions{Limit: maxListed})
		if object = all; err == nil && all.GetContinue() != "" {
			return nil, fmt.Errorf("%s: more than %d objects: %w", what, maxListed, ocm.ErrLimit)
		}
	}
	if apierrors.IsNotFound(err) {
		return map[string]any{}, nil
	}
	if err != nil {
		return nil, explainAPI(what, err)
	}
	return object.UnstructuredContent(), nil
}

// explainAPI gives an error of the API server its kind.
func explainAPI(what string, err error) error {
	switch {
	case errors.Is(err, ocm.ErrLimit), errors.Is(err, ocm.ErrDenied):
		return fmt.Errorf("%s: %w", what, err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: %w", what, err, ocm.ErrDenied)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w: %w", what, err, ocm.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", what, err)
}
