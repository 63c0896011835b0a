# Skiff. `make help` lists what can be made.

# A tag names a release; between releases the commit does.
VERSION    ?= $(or $(shell git describe --tags --dirty 2>/dev/null),v0.1.0-dev$(addprefix +g,$(shell git describe --always --dirty 2>/dev/null)))
COMMIT     := $(shell git rev-parse HEAD 2>/dev/null)
DATE       := $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)

# Where the code begins in memory, one page after what is a multiple of 64 KiB and
# none of 2 MiB: docs/adr/0009-memory-of-the-start.md says why.
TEXT       := 0x411000
LDFLAGS    := -s -w -T $(TEXT) -X skiff/version.Skiff=$(VERSION) -X skiff/version.Commit=$(COMMIT) -X skiff/version.Date=$(DATE)
GOBUILD    := scripts/overlay go build -ldflags '$(LDFLAGS)'
DIST_ARCHS := amd64 arm64 arm riscv64

# Parts of libraries that are left out; docs/adr/0006-linked-code.md says why.
TAGS       := grpcnotrace,hashicorpmetrics,no_rdt,nri_no_wasm,urfave_cli_no_docs,urfave_cli_no_suggest

# One set of flags for all that is compiled, so that building, linting and
# testing share what the compiler has made.
export GOFLAGS     := -trimpath -tags=$(TAGS) $(GOFLAGS)
export CGO_ENABLED := 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps:
	@scripts/deps

.PHONY: payload
payload: deps
	@scripts/payload

.PHONY: build
build: payload ## build bin/skiff, one executable without dynamic libraries
	@mkdir -p bin
	$(GOBUILD) -o bin/skiff .

.PHONY: quickstart
quickstart: build ## start a cluster of NODES=1 here, with an example application on it
	@QUICKSTART_NODES=$(NODES) scripts/quickstart

.PHONY: test
test: build ## lint, unit, integration and end-to-end tests; needs root
	@scripts/test

.PHONY: test-race
test-race: ## the packages that share memory most, under the race detector
	CGO_ENABLED=1 go test -race ./store/... ./scheduler/... ./proxy/... ./server/api ./server/controller/... ./agent/pod

.PHONY: test-crash
test-crash: ## kill the store 200 times, and cut its power 200 times
	SKIFF_CRASH_ROUNDS=200 go test ./test/crash -run 'TestKill|TestPowerCut' -v -timeout 60m

.PHONY: test-kill
test-kill: build ## kill an agent and a server 24 times while their pods are made and deleted; needs root
	SKIFF_KILL_ROUNDS=24 go test ./test/e2e -run 'TestKilled$$' -v -timeout 30m

.PHONY: lint
lint: ## formatting, vet and staticcheck
	@scripts/lint

.PHONY: fleet
fleet: build ## what up to 1,000 idle agents cost a server, for docs/scale.md; needs root, takes 4 minutes
	go test -run XXX -bench Fleet -benchtime 1x -timeout 20m ./test/bench

.PHONY: bench
bench: build ## the figures of store, API server, proxy, starts and pods on this machine; needs root
	go test -run XXX -bench . ./store/cluster ./server/api ./proxy/nft
	go test -run XXX -bench Ready -benchtime 20x ./test/bench
	go test -run XXX -bench 'PodDelete|Deployment' -benchtime 5x ./test/bench

.PHONY: bench-proxy
bench-proxy: build ## services beside kube-proxy in nftables mode, for docs/network.md; needs root, takes 5 minutes
	@scripts/deps --peers
	go build -C test/peers -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2' -o ../../bin/peers/ k8s.io/kubernetes/cmd/kube-proxy
	go test -run XXX -bench Proxies -benchtime 1x -timeout 20m ./test/bench

.PHONY: footprint
footprint: build ## what an idle server and an idle agent cost, and how long they take to start; takes 5 minutes
	@scripts/footprint

.PHONY: dist
dist: ## cross-build dist/skiff-ARCH for amd64, arm64, arm (v7) and riscv64, and their SHA256SUMS
	@scripts/deps $(DIST_ARCHS)
	@scripts/payload $(DIST_ARCHS)
	@mkdir -p dist
	for arch in $(DIST_ARCHS); do GOARCH=$$arch GOARM=7 $(GOBUILD) -o dist/skiff-$$arch . || exit 1; done
	cd dist && sha256sum $(DIST_ARCHS:%=skiff-%) >SHA256SUMS

.PHONY: dist-check
dist-check: ## start what make dist built, under qemu what is not for this machine
	@scripts/deps --emulate
	@scripts/dist-check $(DIST_ARCHS)

.PHONY: vet-cross
vet-cross: ## go vet for all architectures of make dist
	for arch in $(DIST_ARCHS); do GOARCH=$$arch GOARM=7 go vet ./... || exit 1; done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
