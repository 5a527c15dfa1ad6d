// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/v1alpha1"
)

// connection says which cluster is meant.
type connection struct {
	kubeconfig, context string
}

func (c *connection) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.kubeconfig, "kubeconfig", "", "`file` that says where the cluster is, and who we are there (default: the service account in a cluster, else $KUBECONFIG, else ~/.kube/config)")
	fs.StringVar(&c.context, "context", "", "`name` of the context in that file (default: the current one)")
}

// config connects without a limit of our own: the API server shares itself out fairly.
func (c *connection) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context}).ClientConfig()
	if err != nil {
		return nil, usageError{fmt.Errorf("no cluster to talk to; in a cluster give the pod a service account, elsewhere set --kubeconfig: %w", err)}
	}
	config.QPS, config.Burst = -1, -1
	config.UserAgent = "ocm-controller/" + version()
	return config, nil
}

// client is for the commands of people.
func (c *connection) client() (client.Client, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// newScheme knows the kinds of Kubernetes, and ours.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, err
	}
	return s, v1alpha1.AddToScheme(s)
}
