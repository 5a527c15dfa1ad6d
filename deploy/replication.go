// SPDX-License-Identifier: Apache-2.0

package deploy

// addReplication registers the controller of Replication objects.
func (b *base) addReplication() error { return nil }
