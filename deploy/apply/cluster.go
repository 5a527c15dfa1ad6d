// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"ocm"
)

const (
	maxParallel    = 8                // requests at a time
	requestTimeout = 60 * time.Second // of one request, unless the configuration has one
)

// Cluster applies objects as one identity. It may be used concurrently, and is worth keeping: it knows the cluster's APIs.
type Cluster struct {
	connect func() (client.Client, error)

	mu     sync.Mutex
	client client.Client // nil: connect
}

// New connects as the identity in cfg; nothing is sent yet. Requests are bounded in number at a time, not by the rate, unless cfg has
// one. [ocm.ErrInvalid] tells that the configuration cannot be one.
func New(cfg *rest.Config) (*Cluster, error) {
	if cfg == nil {
		return nil, fmt.Errorf("%w: no configuration of a cluster", ocm.ErrInvalid)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.WarningHandler = rest.NoWarnings{} // products cause them, and would write into our log
	if cfg.Timeout == 0 {
		cfg.Timeout = requestTimeout
	}
	if cfg.QPS == 0 {
		cfg.QPS = -1
	}
	web, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("configuration of the cluster: %w: %w", ocm.ErrInvalid, err)
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // Status, in which servers tell errors
	c := &Cluster{connect: func() (client.Client, error) {
		return client.New(cfg, client.Options{HTTPClient: web, Scheme: scheme})
	}}
	_, err = c.connection()
	return c, err
}

// connection is the client, which remembers the kinds that it has seen.
func (c *Cluster) connection() (client.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		return c.client, nil
	}
	cl, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	c.client = cl
	return cl, nil
}

// forget drops what is known about kinds: a definition was deleted, or made anew in another way.
func (c *Cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connect != nil {
		c.client = nil
	}
}

// served drops what is known about kinds if an error says that the cluster has no such API (any more). It returns the error.
func (c *Cluster) served(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) && (status.Status().Details == nil || status.Status().Details.Name == "") {
		c.forget()
	}
	return err
}

// isUnknown reports whether the error of a mapper says that there is no such kind, and not that nobody knows.
func isUnknown(err error) bool {
	var failed *apiutil.ErrResourceDiscoveryFailed
	if !errors.As(err, &failed) {
		return meta.IsNoMatchError(err)
	}
	for _, e := range *failed {
		if !meta.IsNoMatchError(e) && !apierrors.IsNotFound(e) {
			return false
		}
	}
	return true
}

// current is the version in which a kind can be asked for: its own, or another one after that is served no more. ok is false if the
// cluster does not have the kind.
func (c *Cluster) current(ctx context.Context, gk schema.GroupKind, version string) (m *meta.RESTMapping, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	cl, err := c.connection()
	if err != nil {
		return nil, false, err
	}
	if version != "" {
		m, err = cl.RESTMapper().RESTMapping(gk, version)
	}
	if version == "" || isUnknown(err) {
		m, err = cl.RESTMapper().RESTMapping(gk)
	}
	if isUnknown(err) {
		return nil, false, nil
	}
	return m, err == nil, err
}
