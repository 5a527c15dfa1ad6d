// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"testing"

	"ocm/deploy/v1alpha1"
)

// A cache that is behind has an object in a state whose status was written over since.
func TestWrittenOver(t *testing.T) {
	t.Parallel()
	var w written
	at := func(version string) object {
		r := &v1alpha1.Resource{}
		r.UID, r.ResourceVersion = "u", version
		return r
	}
	if w.outdated(at("1")) {
		t.Error("nothing was written")
	}
	w.over(at("3"), "1", "2") // a finalizer, then the status
	for _, old := range []string{"1", "2", "1"} {
		if !w.outdated(at(old)) {
			t.Errorf("%s was written over", old)
		}
	}
	if w.outdated(at("3")) || len(w.all) != 0 {
		t.Error("3 is what was written")
	}
	if w.over(at("3"), "3", "3"); w.outdated(at("3")) {
		t.Error("nothing was changed by that")
	}
}
