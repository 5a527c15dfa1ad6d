# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export GOTOOLCHAIN ?= local

BIN      := $(CURDIR)/bin
GOLANGCI := $(BIN)/golangci-lint-2.8.0
FUZZTIME ?= 60s

.PHONY: all demo test lint fuzz mutate bench build peers sigstore-servers
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

fuzz: ## every fuzz target for FUZZTIME
	@go list ./... | while read -r pkg; do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

mutate: ## takes each check of the verify path out, and demands that a test notices; ARGS='-v -only graph'
	go run ./internal/mutate $(ARGS)

bench: build $(BIN)/crane $(BIN)/regctl ## ocm beside public tools, as ratios; BENCH='-only a,c -runs 3', see docs/benchmarks.md
	go run ./internal/bench -ocm $(BIN)/ocm $(BENCH)
