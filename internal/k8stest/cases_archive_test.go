// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"path/filepath"
	"testing"

	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/serve"
)

// A place without a registry starts from the archive alone, which is served as it is; the next archive takes its place.
func archiveIsTheRegistry(t *testing.T, s *site) {
	x := s.team(t, "archived", "")
	x.carry(t, "1.0.0", yamls("all", settings("carried", "in an archive")+web("web")), chart(t, web("charted"), "{}"))
	x.follow(t, "", "1.0.0", "all", "chart")
	x.Apply(t, x.deploying("archived", "all", "")+x.deploying("archived-chart", "chart", "releaseName: charted"))
	x.wait(t, "Ready", "deployer/archived", "")
	x.wait(t, "Ready", "deployer/archived-chart", "")
	if got := x.get(t, "configmap/carried", ".data.value"); got != "in an archive" {
		t.Errorf("expected what is in the archive, found %q", got)
	}
	x.carry(t, "1.1.0", yamls("all", settings("carried", "in the next one")), chart(t, web("charted"), "{}"))
	x.want(t, "1.1.0")
	x.is(t, "in the next one", "configmap/carried", ".data.value")
	x.becomes(t, "1.1.0", "deployer/archived", "jsonpath={"+versionOf+"}")
	x.becomes(t, "1.1.0", "deployer/archived-chart", "jsonpath={"+versionOf+"}")
}

// carry delivers a version in a tar file of its own, which is the registry from now on.
func (x *team) carry(t *testing.T, version string, parts ...part) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	archive := fixture.Must[*ctf.Store](t)(ctf.Open(path))
	x.repo = oci.NewRepository(archive, x.env)
	x.deliver(t, version, parts...)
	if err := archive.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	archive.Close()

	archive = fixture.Must[*ctf.Store](t)(ctf.Open(path))
	g := serve.Handler(archive, serve.Options{})
	x.become(t, g)
	t.Cleanup(func() { x.warehouse.close(); g.Close(); archive.Close() })
}
