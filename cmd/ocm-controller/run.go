// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ocm"
	"ocm/deploy"
)

// leaderElectionID is the name of the lease.
const leaderElectionID = "ocm-controller.delivery.ocm.software"

// Times of leaving: what is under way may end, then the next instance takes over at once.
const (
	gracefulShutdown = 20 * time.Second
	readyTimeout     = time.Second
)

func newRun(to *connection) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the controllers",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runControllers(cmd.Context(), cmd, to, &o)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// runControllers works until the context ends.
func runControllers(ctx context.Context, cmd *cobra.Command, to *connection, o *options) error {
	handler, err := o.log.handler(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	d, err := o.deploy()
	if err != nil {
		return err
	}
	log := slog.New(handler)
	d.Env = &ocm.Env{Log: log, Cache: o.cache}
	config, err := to.config()
	if err != nil {
		return err
	}
	log.Info("starting", "version", version(), "deployAs", d.DeployAs.String(), "memoryLimit", limitMemory(os.Getenv, cgroupLimit))
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	if err := deploy.Setup(mgr, d); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newManager is what the controllers run in.
func newManager(config *rest.Config, o *options) (ctrl.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	shutdown := gracefulShutdown
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		// managedFields are most of what an object takes, and nobody here reads them.
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// Watching these would hold every secret of the cluster in memory, and need the right to list them.
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		Metrics:                       o.metrics(),
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       o.leaderElectNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &shutdown,
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("caches", func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the state of the cluster is being read")
		}
		return nil
	})
}

// metrics says how metrics are served. Without HTTP/2 unless asked for: resets of streams have been used to exhaust servers (CVE-2023-44487).
func (o *options) metrics() server.Options {
	m := server.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertPath}
	if o.metricsSecure {
		m.FilterProvider = onlyAuthorized
	}
	if !o.enableHTTP2 {
		m.TLSOpts = append(m.TLSOpts, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
	}
	return m
}
