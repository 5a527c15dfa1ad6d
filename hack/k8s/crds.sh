#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# crds.sh DIR copies what the programs of hack/k8s/consumers need beside them out of their modules: the definitions of kro's and
# Flux' kinds into DIR/kro and DIR/flux, and into DIR/kwok kwok's stages, and its class of volumes.
set -euo pipefail
to=$1
cd "$(dirname "$0")/consumers"
mkdir -p "$to"/{kro,flux,kwok}

module() { # its folder in the module cache
  go mod download "$1"
  go list -m -f '{{.Dir}}' "$1"
}
kro=$(module github.com/kubernetes-sigs/kro)
install -m 644 "$kro"/helm/crds/*.yaml "$to/kro"
for name in source helm kustomize; do
  dir=$(module "github.com/fluxcd/$name-controller")
  install -m 644 "$dir"/config/crd/bases/*.yaml "$to/flux"
done
stages=$(module sigs.k8s.io/kwok)/kustomize/stage
install -m 644 "$stages/volume/fast/storage-class.yaml" "$to/kwok"
for f in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
  pod/fast/pod-{ready,complete,delete} volume/fast/{pv-bind,pv-delete,pvc-provision,pvc-delete}; do
  printf -- '---\n'
  cat "$stages/$f.yaml"
done >"$to/kwok/stages.yaml"
