// SPDX-License-Identifier: Apache-2.0

package deploy

// addRepository registers the controller of Repository objects.
func (b *base) addRepository() error { return nil }
