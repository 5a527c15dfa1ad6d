// SPDX-License-Identifier: Apache-2.0

package input_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

// archives are files of docker save in a folder.
func archives(t *testing.T, dir string) (modern ociv1.Descriptor) {
	t.Helper()
	for name, c := range map[string]struct {
		since25   bool
		tag, arch string
	}{
		"acme_app_1.0.tar": {false, "acme/app:1.0", "amd64"}, "acme_app_arm.tar": {false, "acme/app:arm", "arm64"}, "new_latest.tar": {true, "new:latest", "s390x"},
	} {
		raw, root := fixture.DockerSave(c.since25, c.tag, c.arch, "hello "+c.arch)
		if c.since25 {
			modern = root
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken_1.tar"), []byte("this is no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	return modern
}

// daemon is a protocol server with these archives, and an environment for temporary files.
func daemon(t *testing.T) (dir string, env *ocm.Env, modern ociv1.Descriptor) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	modern = archives(t, dir)
	socket, stop, err := fixture.DockerProtocolServer(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	return dir, &ocm.Env{Dir: dir, Temp: t.TempDir()}, modern
}

// empty demands that nothing is left of what was spooled.
func empty(t *testing.T, dir string) {
	t.Helper()
	if left := fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestDockerArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	modern := archives(t, dir)
	accesstest.Run(t, accesstest.Case{
		Method: find(t, "docker"), Env: &ocm.Env{Dir: dir}, WantType: ociv1.MediaTypeImageManifest, Want: []byte(modern.Digest),
		Good:    map[string]any{"path": "new_latest.tar", "repository": "app:1.0"},
		Missing: []map[string]any{{"path": "gone.tar"}},
		Wrong:   []map[string]any{{"path": "../out.tar"}, {"path": "broken_1.tar"}, {"repository": "Upper"}, {"unknown": 1}},
	})
}

func TestDockerDaemon(t *testing.T) {
	dir, env, modern := daemon(t)
	accesstest.Run(t, accesstest.Case{
		Method: find(t, "docker"), Env: env, WantType: ociv1.MediaTypeImageManifest, Want: []byte(modern.Digest),
		Good:    map[string]any{"path": "new", "repository": "app:1.0"},
		Missing: []map[string]any{{"path": "acme/gone:1.0"}},
		Wrong:   []map[string]any{{"path": "../../containers/json"}, {"path": "a?b"}, {"path": "broken:1"}, {"path": strings.Repeat("x", 600)}, {"path": "a/../b"}},
	})
	in := find(t, "docker")
	fromDaemon := fixture.Must[ocm.Content](t)(in.Open(t.Context(), env, spec(t, map[string]any{"type": "docker", "path": "acme/app:1.0", "repository": "/x"})))
	fromFile := fixture.Must[ocm.Content](t)(in.Open(t.Context(), env, spec(t, map[string]any{"type": "docker", "path": "acme_app_1.0.tar"})))
	if fromDaemon.Root.Digest != fromFile.Root.Digest || fromDaemon.Hint != "/x" || fromFile.Hint != "" {
		t.Errorf("found %+v and %+v", fromDaemon, fromFile)
	}
	if err := os.Remove(filepath.Join(dir, "acme_app_1.0.tar")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is not asked for again
		if err := blob.Check(t.Context(), fromDaemon); err != nil {
			t.Error(err)
		}
	}
	empty(t, env.Temp)
	_, err := in.Open(t.Context(), &ocm.Env{Temp: filepath.Join(dir, "gone")}, spec(t, map[string]any{"type": "docker", "path": "new"}))
	if err == nil {
		t.Error("there is no place for temporary files, and nobody says so")
	}
}

// The daemon cannot be asked: what to do about it is said.
func TestDockerDaemonIsAway(t *testing.T) {
	dir := t.TempDir()
	in, s := find(t, "docker"), map[string]any{"type": "docker", "path": "acme/app:1.0"}
	for host, want := range map[string]struct {
		kind error
		text string
	}{
		"unix://" + dir + "/gone.sock": {ocm.ErrNotFound, "docker save"},
		"tcp://user:secret@host:2375":  {errors.ErrUnsupported, "docker save"},
		"ssh://host":                   {errors.ErrUnsupported, `"ssh"`},
		"unix://relative.sock":         {errors.ErrUnsupported, "unix:///path"},
	} {
		t.Setenv("DOCKER_HOST", host)
		_, err := in.Open(t.Context(), &ocm.Env{Temp: dir}, spec(t, s))
		fixture.WantErr(t, err, want.kind, want.text)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("a secret is told: %v", err)
		}
	}
	empty(t, dir)
}

// A daemon that stops in the middle, or when nobody wants its answer any more: nothing is left.
func TestDockerDaemonThatStops(t *testing.T) {
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	waiting := make(chan struct{}, 1)
	go func() {
		for stop := true; ; stop = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			if _, err := conn.Read(buf); err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
			if stop {
				conn.Close()
				continue
			}
			waiting <- struct{}{}
			_, _ = conn.Read(buf) // until the client goes away
			conn.Close()
		}
	}()
	t.Setenv("DOCKER_HOST", "unix://"+dir+"/s")
	env, s := &ocm.Env{Temp: t.TempDir()}, spec(t, map[string]any{"type": "docker", "path": "acme/app:1.0"})
	if _, err := find(t, "docker").Open(t.Context(), env, s); err == nil {
		t.Error("half an answer was taken for an image")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-waiting; cancel() }()
	if _, err := find(t, "docker").Open(ctx, env, s); !errors.Is(err, context.Canceled) {
		t.Errorf("expected the context's error, found %v", err)
	}
	empty(t, env.Temp)
}

func TestDockerMulti(t *testing.T) {
	_, env, modern := daemon(t)
	good := map[string]any{"variants": []string{"acme/app:1.0", "acme_app_arm.tar", "new"}, "repository": "app:1.0"}
	accesstest.Run(t, accesstest.Case{
		Method: find(t, "dockermulti"), Env: env, WantType: ociv1.MediaTypeImageIndex, Good: good,
		Missing: []map[string]any{{"variants": []string{"new", "gone:1"}}},
		Wrong: []map[string]any{
			{"variants": []string{"new", "new"}}, {"variants": []string{"../x.tar"}}, {"variants": []string{}}, {"variants": 7}, {"repository": "Upper"}, {"path": "new"},
		},
	})
	good["type"] = "dockermulti"
	c := fixture.Must[ocm.Content](t)(find(t, "dockermulti").Open(t.Context(), env, spec(t, good)))
	var index ociv1.Index
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest))
	if err := json.Unmarshal(raw, &index); err != nil || len(index.Manifests) != 3 || index.Manifests[1].Platform.Architecture != "arm64" || index.Manifests[2].Digest != modern.Digest || c.Hint != "app:1.0" {
		t.Errorf("found %s, %v", raw, err)
	}
	good["variants"] = make([]string, 65)
	_, err := find(t, "dockermulti").Open(t.Context(), env, spec(t, good))
	fixture.WantErr(t, err, ocm.ErrLimit, "variants")
	empty(t, env.Temp)
}
