// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// What the API server says of a pod is understood; what could not be run as the pod says is not run at all.
func TestPodsAreRead(t *testing.T) {
	t.Parallel()
	var p pod
	text := `{"metadata": {"name": "x-1", "namespace": "kro", "uid": "u", "labels": {"a": "b"}},
"spec": {"nodeName": "node-0", "serviceAccountName": "kro", "securityContext": {"runAsUser": 65532, "fsGroup": 1},
"containers": [{"name": "kro", "image": "registry:5000/kro@sha256:0", "args": ["--a"], "env": [{"name": "N", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}}],
"volumeMounts": [{"name": "t", "mountPath": "/tmp"}, {"name": "s", "mountPath": "/s", "readOnly": true}]}]}}`
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	c := p.Spec.Containers[0]
	if p.Spec.SecurityContext.User != 65532 || c.Mounts[0].Path != "/tmp" || !c.Mounts[1].ReadOnly || c.Env[0].From.Field.Path != "metadata.namespace" {
		t.Errorf("found %+v", p)
	}
	p.Spec.SecurityContext.User = 0
	if err := (&pods{dir: t.TempDir()}).run(context.Background(), p); err == nil || !strings.Contains(err.Error(), "not root") {
		t.Errorf("expected that nothing runs as root, found %v", err)
	}
}
