# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export GOTOOLCHAIN ?= local

BIN      := $(CURDIR)/bin
GOLANGCI := $(BIN)/golangci-lint-2.8.0
K8S      := $(BIN)/k8s
FUZZTIME ?= 60s

.PHONY: all demo test lint fuzz mutate bench build peers sigstore-servers k8s-binaries test-k8s
all: build

build: ## the ocm command, in bin/
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ocm ./cmd/ocm

demo: build ## the whole journey with this project itself as the product
	go run ./internal/demo -ocm $(BIN)/ocm

test: ## everything that needs no more than Go; long suites too where CI=true
	go vet ./...
	go test -timeout 40m $(if $(CI),-race) ./...

lint: $(GOLANGCI)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	$(GOLANGCI) run ./...

$(GOLANGCI):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.8.0
	mv $(BIN)/golangci-lint $@

peers: $(BIN)/crane $(BIN)/helm $(BIN)/versitygw $(BIN)/verdaccio sigstore-servers ## tools of other people that tests compare with

$(BIN)/crane:
	GOBIN=$(BIN) go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
$(BIN)/helm:
	GOBIN=$(BIN) go install helm.sh/helm/v4/cmd/helm@v4.3.1
$(BIN)/versitygw:
	CGO_ENABLED=0 GOBIN=$(BIN) go install -trimpath -ldflags '-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0
$(BIN)/verdaccio: hack/verdaccio/package.json hack/verdaccio/package-lock.json
	mkdir -p $(BIN)/.verdaccio && cp $^ $(BIN)/.verdaccio
	cd $(BIN)/.verdaccio && npm ci --no-audit --no-fund --ignore-scripts
	printf '#!/bin/sh\nexec node "%s" "$$@"\n' $(BIN)/.verdaccio/node_modules/verdaccio/bin/verdaccio >$@ && chmod +x $@
$(BIN)/regctl:
	GOBIN=$(BIN) go install github.com/regclient/regclient/cmd/regctl@v0.11.7

sigstore-servers: $(BIN)/fulcio-server $(BIN)/rekor-server $(BIN)/timestamp-server ## real Sigstore services; versions stand in hack/sigstore/go.mod

# Without cgo, which only their key tokens would need. A module of its own: what the servers need is none of our business.
$(BIN)/fulcio-server: PACKAGE := github.com/sigstore/fulcio
$(BIN)/rekor-server: PACKAGE := github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix
$(BIN)/timestamp-server: PACKAGE := github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server
$(BIN)/%-server: hack/sigstore/go.mod hack/sigstore/go.sum
	cd hack/sigstore && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ $(PACKAGE)

KUBERNETES := etcd kube-apiserver kubectl kube-controller-manager kube-scheduler
CONSUMERS  := kwok kro source-controller helm-controller kustomize-controller

k8s-binaries: $(addprefix $(K8S)/,$(KUBERNETES) $(CONSUMERS) crds/made) ## real Kubernetes, kwok, kro and Flux; versions stand in hack/k8s. a quarter of an hour on two cores, once

# Modules of their own, as above. Without its version linked in, Kubernetes says that it is v0.0.0, and clients believe it.
$(KUBERNETES:%=$(K8S)/%): hack/k8s/kubernetes/go.mod hack/k8s/kubernetes/go.sum
	cd hack/k8s/kubernetes && v=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && x=k8s.io/component-base/version && minor=$${v#v1.} && \
	  CGO_ENABLED=0 go build -p 2 -trimpath -o $@ \
	    -ldflags "-s -w -X $$x.gitVersion=$$v -X $$x.gitMajor=1 -X $$x.gitMinor=$${minor%.*} -X $$x.gitTreeState=clean" $(PACKAGE)
	touch $@
$(K8S)/etcd: PACKAGE := go.etcd.io/etcd/server/v3
$(K8S)/kube%: PACKAGE = k8s.io/kubernetes/cmd/$(@F)

$(CONSUMERS:%=$(K8S)/%): hack/k8s/consumers/go.mod hack/k8s/consumers/go.sum
	cd hack/k8s/consumers && CGO_ENABLED=0 go build -p 2 -trimpath -ldflags '-s -w' -o $@ $(PACKAGE)
	touch $@
$(K8S)/kwok: PACKAGE := sigs.k8s.io/kwok/cmd/kwok
$(K8S)/kro: PACKAGE := github.com/kubernetes-sigs/kro/cmd/controller
$(K8S)/%-controller: PACKAGE = github.com/fluxcd/$(@F)

# What belongs to these programs and is no Go: definitions of their kinds, and the stages through which kwok takes nodes and pods.
$(K8S)/crds/made: hack/k8s/consumers/go.mod hack/k8s/crds.sh
	hack/k8s/crds.sh $(@D)
	touch $@

test-k8s: k8s-binaries ## what needs real clusters
	OCM_TEST_K8S=must go test -timeout 30m ./internal/cluster ./internal/k8stest/... ./deploy/...

fuzz: ## every fuzz target for FUZZTIME
	@go list ./... | while read -r pkg; do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

mutate: ## takes each check of the verify path out, and demands that a test notices; ARGS='-v -only graph'
	go run ./internal/mutate $(ARGS)

bench: build $(BIN)/crane $(BIN)/regctl ## ocm beside public tools, as ratios; BENCH='-only a,c -runs 3', see docs/benchmarks.md
	go run ./internal/bench -ocm $(BIN)/ocm $(BENCH)
