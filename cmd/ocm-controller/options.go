// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"ocm/deploy"
	"ocm/deploy/install"
)

// options are the flags of the controllers.
type options struct {
	log logging

	metricsAddress  string
	metricsSecure   bool
	metricsCertPath string
	enableHTTP2     bool
	probeAddress    string

	leaderElect          bool
	leaderElectNamespace string

	workers                int
	queue                  int
	cacheTTL               minutes
	cacheBytes             size
	resourceConcurrency    int
	replicationConcurrency int
	deployerConcurrency    int
	maxResourceSize        size
	downloadBytes          size

	deployAs string
	archives string
	cache    string
}

// Bounds of flags: more than that is a typing error.
const (
	maxWorkers = 1000
	maxQueue   = 1_000_000
	maxBytes   = 1 << 40
)

func (o *options) addFlags(fs *pflag.FlagSet) {
	o.cacheTTL = minutes(30 * time.Minute)
	o.cacheBytes, o.maxResourceSize, o.downloadBytes = 32<<20, 2<<20, 32<<20

	o.log.addFlags(fs)
	fs.StringVar(&o.metricsAddress, "metrics-bind-address", "0", "`address` that serves metrics, such as :8080; 0: none")
	fs.BoolVar(&o.metricsSecure, "metrics-secure", false, "serve metrics by HTTPS, to those only whom the cluster lets get /metrics")
	fs.StringVar(&o.metricsCertPath, "metrics-cert-path", "", "`folder` with tls.crt and tls.key for --metrics-secure (default: a certificate is made up)")
	fs.BoolVar(&o.enableHTTP2, "enable-http2", false, "let metrics be asked for by HTTP/2")
	fs.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "`address` that serves /healthz and /readyz; 0: none")
	fs.BoolVar(&o.leaderElect, "leader-elect", false, "work only while no other instance does")
	fs.StringVar(&o.leaderElectNamespace, "leader-election-namespace", "", "`namespace` of the lease (default: that of the pod)")

	fs.IntVar(&o.workers, "resolver-worker-count", 10, "`number` of slow things, such as resolutions and downloads, that are done at once")
	fs.IntVar(&o.queue, "resolver-worker-queue-length", 1000, "`number` of slow things that may wait")
	fs.Var(&o.cacheTTL, "resolver-cache-ttl", "how long an answer is kept that nobody asks for: minutes, or a duration such as 90s")
	fs.Var(&o.cacheBytes, "resolver-cache-bytes", "memory for answers, such as 32Mi")
	fs.IntVar(&o.resourceConcurrency, "resource-controller-concurrency", 4, "`number` of Resources that are worked on at once")
	fs.IntVar(&o.replicationConcurrency, "replication-controller-concurrency", 4, "`number` of Replications that are worked on at once")
	fs.IntVar(&o.deployerConcurrency, "deployer-controller-concurrency", 4, "`number` of Deployers that are worked on at once")
	fs.Var(&o.maxResourceSize, "deployer-download-max-resource-size", "the greatest content that is deployed")
	fs.Var(&o.downloadBytes, "deployer-download-cache-bytes", "memory for contents that are deployed")

	fs.StringVar(&o.deployAs, "deploy-as", "", "service account of Deployers that name none: `NAMESPACE/NAME` (default: "+install.DefaultRelease+"-controller-manager in the namespace of the pod, by $POD_NAMESPACE)")
	fs.StringVar(&o.archives, "archives", "", "`folder` below which repositories may be archives (default: they may be registries only)")
	fs.StringVar(&o.cache, "cache-folder", "", "`folder` for what helps after a restart, such as unfinished uploads (default: none)")

	fs.Int("resolver-subscriber-buffer-size", 100, "no effect: nobody who waits is forgotten")
	fs.Int("deployer-download-cache-size", 1000, "no effect: the cache is bounded by --deployer-download-cache-bytes")
	for _, name := range []string{"resolver-subscriber-buffer-size", "deployer-download-cache-size"} {
		fs.Lookup(name).Hidden = true
	}
}

// deploy checks the flags, and says what they mean for the controllers.
func (o *options) deploy() (deploy.Options, error) {
	d := deploy.Options{
		Workers: o.workers, Queue: o.queue, CacheTTL: time.Duration(o.cacheTTL), CacheBytes: int64(o.cacheBytes),
		ResourceConcurrency: o.resourceConcurrency, ReplicationConcurrency: o.replicationConcurrency, DeployerConcurrency: o.deployerConcurrency,
		MaxResourceSize: int64(o.maxResourceSize), DownloadBytes: int64(o.downloadBytes),
		Archives: o.archives, Version: version(),
	}
	for _, n := range []struct {
		flag       string
		value, max int
	}{
		{"--resolver-worker-count", o.workers, maxWorkers}, {"--resolver-worker-queue-length", o.queue, maxQueue},
		{"--resource-controller-concurrency", o.resourceConcurrency, maxWorkers}, {"--replication-controller-concurrency", o.replicationConcurrency, maxWorkers},
		{"--deployer-controller-concurrency", o.deployerConcurrency, maxWorkers},
	} {
		if n.value < 1 || n.value > n.max {
			return d, usagef("%s %d: expected a number from 1 to %d", n.flag, n.value, n.max)
		}
	}
	for _, dir := range [...]struct{ flag, path string }{{"--archives", o.archives}, {"--cache-folder", o.cache}, {"--metrics-cert-path", o.metricsCertPath}} {
		if info, err := os.Stat(dir.path); dir.path != "" && err != nil {
			return d, usagef("%s: %w", dir.flag, err)
		} else if dir.path != "" && !info.IsDir() {
			return d, usagef("%s %s: not a folder", dir.flag, dir.path)
		}
	}
	if o.metricsCertPath != "" && !o.metricsSecure {
		return d, usagef("--metrics-cert-path goes with --metrics-secure")
	}
	var err error
	d.DeployAs, err = serviceAccount(o.deployAs, os.Getenv("POD_NAMESPACE"))
	return d, err
}

// serviceAccount reads NAMESPACE/NAME. Without it, and outside of a pod, there is none: then a Deployer must name its own.
func serviceAccount(s, podNamespace string) (types.NamespacedName, error) {
	if s == "" && podNamespace == "" {
		return types.NamespacedName{}, nil
	}
	if s == "" {
		s = podNamespace + "/" + install.DefaultRelease + "-controller-manager"
	}
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, usagef("--deploy-as %q: expected NAMESPACE/NAME of a service account, such as %s/%s-controller-manager", s, install.DefaultNamespace, install.DefaultRelease)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// minutes is a flag that takes a number of minutes, or a duration.
type minutes time.Duration

func (m *minutes) String() string { return time.Duration(*m).String() }

// Type is what help shows for the value.
func (m *minutes) Type() string { return "minutes" }

func (m *minutes) Set(s string) error {
	d, err := time.ParseDuration(s)
	if n, notNumber := strconv.Atoi(s); notNumber == nil {
		d, err = time.Duration(n)*time.Minute, nil
	}
	if err != nil || d <= 0 || d > 365*24*time.Hour {
		return usagef("expected a number of minutes such as 30, or a duration such as 90s")
	}
	*m = minutes(d)
	return nil
}

// size is a flag that takes a number of bytes, as Kubernetes writes quantities.
type size int64

func (b *size) String() string { return resource.NewQuantity(int64(*b), resource.BinarySI).String() }

// Type is what help shows for the value.
func (b *size) Type() string { return "bytes" }

func (b *size) Set(s string) error {
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Value() < 1 || q.Value() > maxBytes {
		return usagef("expected a number of bytes such as 2Mi, at most 1Ti")
	}
	*b = size(q.Value())
	return nil
}
