// SPDX-License-Identifier: Apache-2.0

package host

import (
	"slices"

	"ocm"
	"ocm/plugin/wire"
)

// algorithms are those of which a signer of the plugin may make signatures: its own names, those that it lists, and those that the
// plugin judges.
func (p *Plugin) algorithms(signer ocm.Type) []string {
	all := slices.Concat(signer.Names, signer.Algorithms)
	for _, c := range p.Capabilities.Capabilities {
		if c.Kind == wire.Verifier {
			all = append(all, c.Names...)
		}
	}
	return all
}
