// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/oci"
)

// A manifest that was found, deleted by another one, and then put into the index must be there.
func TestDeletedBeforeListed(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := s.out.(*directory)
	raw := []byte(`{"schemaVersion":2,"mediaType":"` + ociv1.MediaTypeImageIndex + `","manifests":[]}`)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	dir.turn <- struct{}{} // nobody changes the index meanwhile
	put := make(chan error, 1)
	go func() { put <- s.Repo("acme/app").PutManifest(t.Context(), d, raw, "1.0.0", oci.Any()) }()
	for waits := 0; waits == 0; {
		dir.groupMu.Lock()
		waits = len(dir.group)
		dir.groupMu.Unlock()
		runtime.Gosched()
	}
	if err := dir.remove(d.Digest); err != nil {
		t.Fatal(err)
	}
	<-dir.turn
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repo("acme/app").Resolve(t.Context(), "1.0.0"); err != nil {
		t.Error(err)
	}
	if _, err := dir.stat(d.Digest); err != nil {
		t.Error(err)
	}
}
