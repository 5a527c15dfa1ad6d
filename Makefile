# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export GOTOOLCHAIN ?= local

BIN      := $(CURDIR)/bin
GOLANGCI := $(BIN)/golangci-lint-2.8.0
K8S      := $(BIN)/k8s
FUZZTIME ?= 60s
# Scripts start thousands of processes, which the race detector makes many times slower; what runs concurrently in them has tests below.
SCRIPTS  := ocm/cmd/ocm

.PHONY: all build systems demo test lint fuzz mutate bench generate controller-component peers sigstore-servers
.PHONY: k8s-binaries node-tools node-binaries test-k8s test-node bench-k8s sovereign sovereign-light sovereign-tools sovereign-parts sovereign-images
all: build

# need PROGRAMS, PACKAGES: says which packages of Debian bring what is missing.
need = @for p in $(1); do command -v $$p >/dev/null || { echo "$$p is missing; apt-get install -y --no-install-recommends $(2)"; exit 1; }; done

build: ## the commands ocm and ocm-controller, in bin/
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ ./cmd/ocm ./cmd/ocm-controller

demo: build ## the whole journey with this project itself as the product
	go run ./internal/demo -ocm $(BIN)/ocm

test: ## everything that needs no more than Go; long suites too where CI=true
	go vet ./...
	go test -timeout 40m $(if $(CI),-race) $$(go list ./... | grep -vx -e $(SCRIPTS) -e ocm/internal/k8stest)
	go test -timeout 40m $(SCRIPTS)
	cd conformance/sovereign/notes && go vet ./... && go test $(if $(CI),-race) ./...

lint: $(GOLANGCI) systems
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	$(GOLANGCI) run ./...

# Compiled only: nothing runs these here. A minute each on two cores where nothing is cached, seconds where it is.
SYSTEMS ?= darwin/arm64 windows/amd64
systems: ## the command compiles for other systems
	for s in $(SYSTEMS); do CGO_ENABLED=0 GOOS=$${s%/*} GOARCH=$${s#*/} go build -o /dev/null ./cmd/ocm || { echo "ocm does not compile for $$s"; exit 1; }; done

$(GOLANGCI):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.8.0
	mv $(BIN)/golangci-lint $@

peers: $(BIN)/crane $(BIN)/helm $(BIN)/regctl $(BIN)/oci-conformance $(BIN)/versitygw $(BIN)/verdaccio sigstore-servers ## tools of other people that tests compare with

$(BIN)/crane:
	GOBIN=$(BIN) go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
$(BIN)/helm:
	GOBIN=$(BIN) go install helm.sh/helm/v4/cmd/helm@v4.3.1
$(BIN)/oci-conformance:
	GOBIN=$(BIN) go install github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
	mv $(BIN)/conformance $@
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

CONTROLLER := $(BIN)/controller
VERSION    ?= 0.0.0-dev
PLATFORMS  ?= amd64 arm64
# CA_CERTIFICATES=file puts certificates into the image that it trusts in TLS; without it only those of the configuration are.
controller-component: build ## image, chart and manifests of the controllers as a component version, in bin/controller/archive; VERSION=1.0.0
	rm -rf $(CONTROLLER) && mkdir -p $(CONTROLLER)
	for arch in $(PLATFORMS); do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false \
	  -ldflags '-s -w -X main.release=$(VERSION)' -o $(CONTROLLER)/ocm-controller-$$arch ./cmd/ocm-controller; done
	go run ./internal/image -out $(CONTROLLER)/image.tar -name ocm-controller -ca '$(CA_CERTIFICATES)' \
	  $(foreach arch,$(PLATFORMS),linux/$(arch)=$(CONTROLLER)/ocm-controller-$(arch))
	cp -r deploy/install/chart deploy/install/component-constructor.yaml $(CONTROLLER)
	sed -i 's/^version: .*/version: $(VERSION)/; s/^appVersion: .*/appVersion: "$(VERSION)"/' $(CONTROLLER)/chart/Chart.yaml
	$(BIN)/ocm controller install --image ocm.software/controller:$(VERSION) >$(CONTROLLER)/manifests.yaml
	cd $(CONTROLLER) && VERSION=$(VERSION) $(BIN)/ocm add cv --repository ./archive

SOVEREIGN := conformance/sovereign
IMAGES    := $(BIN)/sovereign/images
ARCH       = $(shell go env GOARCH)
STATIC     = CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -buildvcs=false -ldflags '-s -w'
MAKE_IMAGE = go run ./internal/image -out $@ -label org.opencontainers.image.title=$(basename $(@F))
PACKER    := $(filter-out %_test.go,$(wildcard internal/image/*.go))
NOTES     := $(addprefix $(IMAGES)/,notes-1.0.0.tar.gz notes-1.1.0.tar.gz notes-1.2.0.tar.gz)
UPSTREAM  := $(addprefix $(IMAGES)/,kro.tar source-controller.tar helm-controller.tar)
sovereign-images: $(NOTES) $(IMAGES)/postgres.tar $(IMAGES)/pause.tar $(UPSTREAM) ## what runs in the sovereign scenario, for this architecture, in bin/sovereign/images

$(IMAGES):
	mkdir -p $@
$(NOTES): $(IMAGES)/notes-%.tar.gz: $(shell find $(SOVEREIGN)/notes -type f ! -name '*_test.go') $(PACKER) | $(IMAGES)
	PLATFORMS=linux/$(ARCH) $(SOVEREIGN)/notes/build.sh $* $@
# apt is asked for news once; what it said then is what every later build takes, until the folder of packages is removed.
$(IMAGES)/postgres.tar: $(SOVEREIGN)/postgres/packages $(filter-out %_test.go,$(wildcard $(SOVEREIGN)/postgres/start/*.go)) $(PACKER) | $(IMAGES)
	$(STATIC) -o $(BIN)/sovereign/start ./$(SOVEREIGN)/postgres/start
	if [ "$$(id -u)" = 0 ] && [ ! -d $(BIN)/sovereign/debs ]; then apt-get update -qq || true; fi
	$(MAKE_IMAGE) -name start -recipe $< -debs $(BIN)/sovereign/debs -sbom $(@:.tar=.spdx.json) -user 999:999 -stop-signal SIGINT \
	  -env PATH=/usr/lib/postgresql/15/bin:/usr/bin -env LANG=C.UTF-8 -env PGDATA=/var/lib/postgresql/data/pgdata linux/$(ARCH)=$(BIN)/sovereign/start
$(IMAGES)/pause.tar: $(SOVEREIGN)/platform/pause/main.go $(PACKER) | $(IMAGES)
	$(STATIC) -o $(BIN)/sovereign/pause ./$(<D)
	$(MAKE_IMAGE) -label org.opencontainers.image.version=1.0.0 -name pause linux/$(ARCH)=$(BIN)/sovereign/pause
# The version that a program was built from stands in it.
$(UPSTREAM): $(IMAGES)/%.tar: $(K8S)/% $(PACKER) | $(IMAGES)
	version=$$(go version -m $< | awk '$$1 == "path" { path = $$2 } $$1 == "dep" && index(path, $$2) == 1 { print $$3; exit }') && \
	  $(MAKE_IMAGE) -label org.opencontainers.image.version=$$version -name $* linux/$(ARCH)=$<

generate: ## deepcopy and CRDs of the Kubernetes API types, and the manifests that the chart gives
	printf '// SPDX-License-Identifier: Apache-2.0\n' >$(BIN)/.header
	go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.20.0 object:headerFile=$(BIN)/.header crd paths=./deploy/v1alpha1 output:crd:dir=deploy/install/chart/files/crds
	sed -i -e '1,2d' -e '3a\\n//go:build !ignore_autogenerated' deploy/v1alpha1/zz_generated.deepcopy.go
	gofmt -w deploy/v1alpha1
	go test ./deploy/install -run '^TestManifestsAreWhatTheChartGives$$' -count=1 -update

KUBERNETES := etcd kube-apiserver kubectl kube-controller-manager kube-scheduler
NODE       := kubelet kube-proxy
CONSUMERS  := kwok kro source-controller helm-controller kustomize-controller
k8s-binaries: $(addprefix $(K8S)/,$(KUBERNETES) $(CONSUMERS) crds/made) ## real Kubernetes, kwok, kro and Flux; versions stand in hack/k8s. a quarter of an hour on two cores, once
node-binaries: node-tools k8s-binaries $(addprefix $(K8S)/,$(NODE) coredns) ## a real node beside them; containerd, runc and the like are the system's
node-tools:
	$(call need,containerd containerd-shim-runc-v2 runc nft ip nsenter setpriv /usr/lib/cni/ptp,containerd runc containernetworking-plugins nftables iproute2 util-linux)
# Modules of their own, as above. Without its version linked in, Kubernetes says that it is v0.0.0, and clients believe it.
$(patsubst %,$(K8S)/%,$(KUBERNETES) $(NODE)): hack/k8s/kubernetes/go.mod hack/k8s/kubernetes/go.sum
	cd hack/k8s/kubernetes && v=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && x=k8s.io/component-base/version && minor=$${v#v1.} && \
	  CGO_ENABLED=0 go build -p 2 -trimpath -o $@ \
	    -ldflags "-s -w -X $$x.gitVersion=$$v -X $$x.gitMajor=1 -X $$x.gitMinor=$${minor%.*} -X $$x.gitTreeState=clean" $(PACKAGE)
	touch $@
$(K8S)/etcd: PACKAGE := go.etcd.io/etcd/server/v3
$(K8S)/kube%: PACKAGE = k8s.io/kubernetes/cmd/$(@F)
$(K8S)/coredns: hack/k8s/coredns/main.go hack/k8s/coredns/go.mod hack/k8s/coredns/go.sum
	cd $(<D) && CGO_ENABLED=0 go build -p 2 -trimpath -ldflags '-s -w' -o $@ .
	touch $@
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
test-k8s: k8s-binaries $(BIN)/helm ## what needs real clusters
	OCM_TEST_K8S=must go test -timeout 30m ./internal/cluster ./internal/k8stest

test-node: node-binaries $(BIN)/crane ## what needs a real node, and root
	OCM_TEST_NODE=must go test -timeout 15m -count=1 -run 'Node' -v ./internal/cluster

# ARGS='-keep -v' to look around; what else there is stands in internal/sovereign.
DOCUMENTS := docs/sovereign.md $(SOVEREIGN)/hardships.md
sovereign: node-tools sovereign-parts node-binaries ## the delivery of docs/sovereign.md into a world without any connection, with a real node; needs root
	go run ./internal/sovereign $(ARGS) $(DOCUMENTS)
sovereign-light: sovereign-parts ## the same without a real node: kwok says that pods run; needs root
	go run ./internal/sovereign -light $(ARGS) $(DOCUMENTS)
# The controllers are packed apart from those of somebody else's "make controller-component".
sovereign-parts: sovereign-tools build k8s-binaries sovereign-images $(BIN)/crane $(BIN)/regctl
	$(MAKE) controller-component VERSION=1.0.0 CONTROLLER=$(BIN)/sovereign/controller PLATFORMS=$(ARCH)
sovereign-tools:
	$(call need,bash curl ip mount nsenter openssl setpriv,bash curl iproute2 mount openssl util-linux)

fuzz: ## every fuzz target for FUZZTIME
	@go list ./... | while read -r pkg; do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

mutate: ## takes each check of the verify path out, and demands that a test notices; ARGS='-v -only graph'
	go run ./internal/mutate $(ARGS)

bench: build $(BIN)/crane $(BIN)/regctl ## ocm beside public tools, as ratios; BENCH='-only a,c -runs 3', see docs/benchmarks.md
	go run ./internal/bench -ocm $(BIN)/ocm $(BENCH)

bench-k8s: build k8s-binaries ## ocm-controller beside a bare client in a real cluster, as ratios; BENCH='-sizes 100 -rounds 1', see docs/benchmarks.md
	go run ./internal/k8sbench -controller $(BIN)/ocm-controller $(BENCH)
