// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocm/internal/cluster"
	"ocm/internal/fixture"
)

// TestGuide runs the guide docs/deploy.md as somebody who follows it: its blocks marked "sh cluster", one after the other, against an empty
// cluster with a registry beside it. Only what no block can do is done here: the images of the product are in the registry, the archive of
// the controllers was built, and the controllers run beside the cluster, with the rights and arguments of the Deployment that was installed,
// because its nodes run nothing.
func TestGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := guideBlocks(string(text))
	if len(blocks) == 0 {
		t.Fatal("the guide has no blocks for a cluster")
	}
	s := &site{Cluster: cluster.Start(t, cluster.Options{Workloads: true})}
	p := &product{dir: t.TempDir(), host: strings.TrimPrefix(fixture.Registry(t), "http://")}
	for _, image := range []string{"build/shop:1.0.0", "build/shop:1.1.0", "build/controller:1.0.0"} {
		repository, tag, _ := strings.Cut(image, ":")
		p.push(t, repository, tag, image)
	}
	controllersArchive(t, p)
	kubectl, err := cluster.Binaries()
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "HOME="+t.TempDir(), "OCM_CONFIG=", "REGISTRY=http://"+p.host, "KUBECONFIG="+s.AdminKubeconfig(),
		"PATH="+filepath.Dir(program(t, "ocm"))+":"+kubectl+":"+os.Getenv("PATH"))
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", b.script)
		cmd.Dir, cmd.Env = p.dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			state, _ := s.Run(t.Context(), "", "get", "repositories,components,resources,deployers,replications", "-A", "-o", "yaml")
			t.Fatalf("docs/deploy.md:%d: %v\n%s\n%s", b.line, err, out, state)
		}
		t.Logf("docs/deploy.md:%d\n%s", b.line, out)
		if s.controller == nil && strings.Contains(b.script, "ocm controller install") {
			s.controller = controller(t, s.Cluster, program(t, "ocm-controller"))
		}
	}
}

// controllersArchive makes what "make controller-component" gives, with another image.
func controllersArchive(t *testing.T, p *product) {
	t.Helper()
	text := fmt.Sprintf(`components:
- name: ocm.software/controller
  version: 1.0.0
  provider: {name: ocm.software}
  resources:
  - {name: image, type: ociImage, relation: local, version: 1.0.0, input: {type: ociArtifact, path: "http://%s/build/controller:1.0.0"}}
`, p.host)
	if err := os.WriteFile(filepath.Join(p.dir, "controller.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "bin", "controller"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.ocm(t, "add", "cv", "--constructor", "controller.yaml", "--repository", "./bin/controller/archive")
}

type guideBlock struct {
	line   int
	script string
}

// guideBlocks finds the fenced blocks of a Markdown text that need a cluster.
func guideBlocks(text string) []guideBlock {
	var all []guideBlock
	inside, number := false, 0
	for line := range strings.Lines(text) {
		number++
		switch fence := strings.TrimSpace(line); {
		case inside && fence == "```":
			inside = false
		case inside:
			all[len(all)-1].script += line
		case fence == "```sh cluster":
			inside = true
			all = append(all, guideBlock{line: number + 1})
		}
	}
	return all
}
