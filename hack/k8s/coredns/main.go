// SPDX-License-Identifier: Apache-2.0

// Command coredns is CoreDNS with the few plugins that the cluster of the tests needs: with all of them it
// would bring the clients of several clouds. A module of its own: what it needs is none of our business.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// in the order in which they see a request
	dnsserver.Directives = []string{"bind", "ready", "errors", "cache", "hosts", "kubernetes", "template"}
	coremain.Run()
}
