#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the image of one release of the notes service: build.sh VERSION OUT, where OUT is the archive of an OCI layout to write.
# Equal sources and versions of Go give equal bytes. PLATFORMS, as in linux/amd64 linux/arm64, says what for: this machine otherwise.
set -euo pipefail
version=${1:?VERSION is missing: build.sh VERSION OUT} out=$(realpath -m "${2:?OUT is missing: build.sh VERSION OUT}")
notes=$(cd "$(dirname "$0")" && pwd)
[[ $version =~ ^[0-9A-Za-z.+-]+$ ]] || { echo "build.sh: $version is no version" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
programs=()
for platform in ${PLATFORMS:-linux/$(go env GOHOSTARCH)}; do
  program=$work/notes-${platform//\//-}
  (cd "$notes" && CGO_ENABLED=0 GOWORK=off GOOS=${platform%/*} GOARCH=${platform#*/} GOFLAGS= go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid= -X main.version=$version" -o "$program" .)
  programs+=("$platform=$program")
done
mkdir -p "$(dirname "$out")"
cd "$notes/../../.." && go run ./internal/image -out "$out" -name notes "${programs[@]}"
