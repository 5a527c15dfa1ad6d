// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// state is a script that tells the state of a cluster. What does not answer is passed over.
const state = `
show() { echo; echo "== $*"; timeout 10 "$@" 2>&1 || true; }
show kubectl get nodes,namespaces
show kubectl get pods,deployments,statefulsets,services,persistentvolumeclaims -A -o wide
show kubectl get repositories.delivery.ocm.software,components,resources,deployers -A
for kind in components resources.delivery.ocm.software deployers helmreleases ocirepositories resourcegraphdefinitions sovereignproducts; do
  show kubectl get "$kind" -A -o 'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{range .status.conditions[*]}{"\n    "}{.type}={.status} {.reason}: {.message}{end}{"\n"}{end}'
done
show kubectl get events -A --sort-by=.lastTimestamp
kubectl get pods -A --no-headers 2>/dev/null | while read -r namespace pod ready rest; do
  show kubectl logs -n "$namespace" "$pod" --all-containers --tail=30
done
`

// tellCluster prints the state of the cluster, and keeps all of it in a file.
func (r *runner) tellCluster(ctx context.Context) {
	out, err := r.output(ctx, target, "bash", "-c", state)
	if err != nil {
		out = fmt.Appendf(out, "%v\n", err)
	}
	path := filepath.Join(r.lab.log, "state.txt")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		fmt.Fprintln(r.out, err)
	}
	text := string(out)
	if len(text) > tailBytes {
		text = text[:tailBytes]
		text = text[:strings.LastIndexByte(text, '\n')+1] + "…\n"
	}
	fmt.Fprintf(r.out, "the cluster (all of it in %s):\n%s\n", r.lab.within(path), indent(text))
}
