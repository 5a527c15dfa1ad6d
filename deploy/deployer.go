// SPDX-License-Identifier: Apache-2.0

package deploy

// addDeployer registers the controller of Deployer objects.
func (b *base) addDeployer() error { return nil }
