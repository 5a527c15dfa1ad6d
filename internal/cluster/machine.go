// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
)

// Machine is a real node, called [Node]: containerd and runc of the system, kubelet and kube-proxy, and CoreDNS as a process
// beside them. Pods have addresses in 10.244.0.0/24, services in 10.96.0.0/16, and both can look up the names of services.
//
// It needs root, and a world of its own (ocm/internal/netns) in which the program that makes the cluster was started: the node
// takes the ports 53, 8181, 10248 to 10250 and 10256 of its address and of loopback, and mounts over /var/lib and /var/log. Of the
// machine outside it takes disk space and one control group in each hierarchy, which [Cluster.Stop] takes away, or the next start
// of any node. A pod that asks for more than fits onto the disk of Images is told so; nothing is evicted for it.
//
// Containers of Debian's containerd 1.6 and later, with control groups of version 1 or 2.
type Machine struct {
	Sandbox    string                // image of the container that holds each pod together, say registry:5000/sovereign/pause:1.0.0
	Registries map[string]string     // URLs of registries by what images call them: registry:5000 is at http://10.77.0.1:5000
	Hosts      map[string]netip.Addr // names that pods can look up beside those of services
	Images     string                // folder of images and of the file systems of containers; default: in that of the cluster
}

// What the system brings. The folder is Debian's, where the plugins of containernetworking-plugins are.
const plugins = "/usr/lib/cni"

var (
	imageName    = regexp.MustCompile(`^[a-zA-Z0-9._/:@-]{1,512}$`)
	registryName = regexp.MustCompile(`^[a-z0-9.-]{1,253}(:[0-9]{1,5})?$`)
	dnsName      = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,252}$`)
)

// errMachine begins what is wrong with a [Machine].
var errMachine = errors.New("node")

// check refuses what could not stand in the files that programs read. The address is that of the cluster.
func (m *Machine) check(address netip.Addr) error {
	if !address.Is4() || address.IsLoopback() {
		return fmt.Errorf("%w: pods must reach the API server, and not on %s: choose an address of the world's link", errMachine, address)
	}
	if !imageName.MatchString(m.Sandbox) {
		return fmt.Errorf("%w: %q is no image", errMachine, m.Sandbox)
	}
	for name, at := range m.Registries {
		u, err := url.Parse(at)
		if err != nil || !registryName.MatchString(name) || (u.Scheme != "http" && u.Scheme != "https") || !registryName.MatchString(u.Host) || u.Path != "" || u.RawQuery != "" {
			return fmt.Errorf("%w: registry %q: expected a host and a URL of scheme and host, found %q", errMachine, name, at)
		}
	}
	for name, at := range m.Hosts {
		if !dnsName.MatchString(name) || !at.IsValid() {
			return fmt.Errorf("%w: expected a name and its address, found %q and %s", errMachine, name, at)
		}
	}
	if m.Images != "" && !filepath.IsAbs(m.Images) {
		return fmt.Errorf("%w: expected an absolute path of a folder for images, found %q", errMachine, m.Images)
	}
	return nil
}
