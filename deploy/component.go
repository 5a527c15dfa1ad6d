// SPDX-License-Identifier: Apache-2.0

package deploy

// addComponent registers the controller of Component objects.
func (b *base) addComponent() error { return nil }
