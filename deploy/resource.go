// SPDX-License-Identifier: Apache-2.0

package deploy

// addResource registers the controller of Resource objects.
func (b *base) addResource() error { return nil }
