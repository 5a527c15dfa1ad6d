// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

// dockerRegistry starts the distribution project's registry, if it is installed.
func dockerRegistry(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not on PATH")
	}
	l := fixture.Must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	url, dir := "http://"+l.Addr().String(), t.TempDir()
	l.Close()
	file := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), l.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "serve", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		if resp, err := http.Get(url + "/v2/"); err == nil {
			resp.Body.Close()
			return url
		}
		time.Sleep(50 * time.Millisecond) // until it listens
	}
	t.Fatal("docker-registry does not answer")
	return ""
}

// The most common registry refuses an index of which not all is there. What is said helps, nothing is
// visible, and the whole goes.
func TestPlatformsInDockerRegistry(t *testing.T) {
	t.Parallel()
	url := dockerRegistry(t)
	for _, indexType := range []string{ociv1.MediaTypeImageIndex, blob.MediaTypeDockerIndex} {
		c, _ := multi(t, indexType, "linux/amd64", "linux/arm64")
		src := repository(memory.New())
		dst := repository(fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, fmt.Sprintf("t%d", len(indexType)), remote.Options{})))
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.resource("image", c)
		v := a.commit()
		_, _, err := move(t.Context(), src, dst, v, onPlatforms(t, "linux/amd64"))
		fixture.WantErr(t, err, ocm.ErrNotFound, "some registries refuse", "transfer to an archive, or without --platform", "MANIFEST_BLOB_UNKNOWN")
		_, err = dst.Open(t.Context(), "acme.org/app", "1.0.0")
		fixture.WantErr(t, err, ocm.ErrNotFound)
		mustMove(t, src, dst, v, transfer.Options{})
		complete(t, dst, reopen(t, dst, v))
		// where all is there already, a part is all
		p, _ := mustMove(t, src, dst, v, onPlatforms(t, "linux/amd64"))
		if p.Versions[0].State != transfer.Identical {
			t.Errorf("state %s", p.Versions[0].State)
		}
	}
}
