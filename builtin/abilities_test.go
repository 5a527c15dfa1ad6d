// SPDX-License-Identifier: Apache-2.0

package builtin

import "testing"

// TestAbilities: nobody adds an access or repository without saying what cannot be found out otherwise.
func TestAbilities(t *testing.T) {
	t.Parallel()
	k := Kit()
	for _, typ := range append(k.Access.Types(), k.Repositories.Types()...) {
		if _, ok := abilities[key(typ)]; !ok {
			t.Errorf("%s has no entry in abilities", typ.Names[0])
		}
	}
}
