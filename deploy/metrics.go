// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ocm/deploy/work"
)

// maxSeries bounds how many component versions metrics tell apart: names come from tenants, and each is memory here and at who collects
// them. What comes later is counted under the empty name.
const maxSeries = 1000

// observer counts what the pool does, under the names that the existing controllers have.
type observer struct {
	hits, misses, drops prometheus.Counter
	queued, running     prometheus.Gauge
	took                *prometheus.HistogramVec

	mu    sync.Mutex
	kinds map[work.Kind]bool
}

// observe registers the metrics of the pool. Where they are registered already, those are used.
func observe(registry prometheus.Registerer) (*observer, error) {
	const namespace, subsystem = "ocm_system", "ocm_k8s_toolkit"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	o := &observer{kinds: map[work.Kind]bool{}}
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: "resolution_duration_seconds",
		Help: "How long questions about component versions took.", Buckets: prometheus.ExponentialBuckets(0.005, 4, 9)},
		[]string{"component", "version", "verification_state"})
	return o, errors.Join(
		register(registry, &o.hits, counter("cache_hit", "Questions whose answer was known.")),
		register(registry, &o.misses, counter("cache_miss", "Questions whose answer had to be found.")),
		register(registry, &o.drops, counter("event_channel_drops", "Objects that were not woken; there are none.")),
		register(registry, &o.queued, gauge("queue_size", "Questions that wait for a worker.")),
		register(registry, &o.running, gauge("in_progress", "Questions that are at work.")),
		register(registry, &o.took, took))
}

// failures counts failed looks at objects, by controller. That is the metric of controller-runtime, by which people raise alarms: it would
// count errors that reconcilers return, and ours write them into conditions and say themselves when they look again.
func failures(registry prometheus.Registerer) (*prometheus.CounterVec, error) {
	var count *prometheus.CounterVec
	err := register(registry, &count, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "controller_runtime_reconcile_errors_total",
		Help: "Total number of reconciliation errors per controller"}, []string{"controller"}))
	return count, err
}

// register registers a collector, or finds the one that is registered under its name.
func register[T prometheus.Collector](registry prometheus.Registerer, to *T, c T) error {
	*to = c
	err := registry.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(T); ok {
			*to = same
			return nil
		}
	}
	return err
}

func (o *observer) Hit()          { o.hits.Inc() }
func (o *observer) Miss()         { o.misses.Inc() }
func (o *observer) Queued(n int)  { o.queued.Set(float64(n)) }
func (o *observer) Running(n int) { o.running.Set(float64(n)) }

func (o *observer) Done(k work.Kind, took time.Duration, err error) {
	if err != nil {
		k.Verification = "failed"
	}
	k = o.known(k)
	o.took.WithLabelValues(k.Component, k.Version, k.Verification).Observe(took.Seconds())
}

// known returns the kind, or one without names if there are too many.
func (o *observer) known(k work.Kind) work.Kind {
	k.Component, k.Version, k.Verification = clip(k.Component, 256), clip(k.Version, 256), clip(k.Verification, 64)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.kinds[k] {
		if len(o.kinds) >= maxSeries {
			return work.Kind{Verification: k.Verification}
		}
		o.kinds[k] = true
	}
	return k
}
