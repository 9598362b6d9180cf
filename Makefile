# SPDX-License-Identifier: AGPL-3.0-or-later
# `make help` lists the targets. Tools live in .cache, which scripts/env fills.
SHELL := /bin/sh
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.cache/bin:$(PATH)

DASHBOARD := services/gateway/dashboard
FUZZTIME ?= 30s
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build everything and start z4j serve (ARGS="--help" passes flags)
	./bin/z4j serve $(ARGS)

.PHONY: build
build: dashboard binary ## build the dashboard and bin/z4j

.PHONY: dashboard
dashboard:
	@if [ -f $(DASHBOARD)/package.json ]; then \
		command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer." >&2; exit 1; }; \
		scripts/dashboard; \
	fi

.PHONY: binary
binary:
	scripts/binary bin/z4j

.PHONY: test
test: ## install what the tests need and run every correctness test (LANES="unit e2e" picks some)
	@scripts/test $(LANES)

.PHONY: lint
lint: ## check style and the import rules
	@scripts/env tools lint
	@scripts/test lint

.PHONY: fmt
fmt: ## format the Go code
	@scripts/env lint
	@scripts/lint fmt

.PHONY: generate
generate: ## write the store's queries anew from sql/
	@scripts/env tools
	sqlc generate

.PHONY: verify
verify: ## check that generated code and documents are up to date
	@scripts/env tools
	@scripts/test generate docs

.PHONY: e2e
e2e: build ## real agents against the real binary (RUN=TestName picks one, STORE=postgres, replicas or services the set-up)
	@scripts/env services agents
	@Z4J_E2E_STORE=$(STORE) scripts/with-services go test -count=1 -timeout 25m $(if $(RUN),-v -run '$(RUN)',-skip '$(if $(filter services,$(STORE)),,TestServicesSurvive|)$(if $(filter replicas,$(STORE)),TestNothing,TestReplicas)') github.com/z4jdev/z4j/tools/e2e/...

.PHONY: images
images: ## build the container image and start every compose file with it (root; ARGS="-test.run TestComposeSQLite")
	@scripts/env tools services
	@scripts/images $(ARGS)

.PHONY: k8s-check
k8s-check: ## apply k8s/ to a real API server (builds one once, which takes minutes)
	@scripts/env tools
	@scripts/k8s-check

.PHONY: bench
bench: binary ## measure and write docs/benchmarks.md and docs/benchmarks.json
	@scripts/bench

.PHONY: bench-compare
bench-compare: ## measure another commit beside this tree, in turns (BASE=<commit>; HEAD=<commit> instead of the tree)
	@[ -n "$(BASE)" ] || { echo "name the commit to compare with: make bench-compare BASE=<commit>" >&2; exit 1; }
	@scripts/bench-compare $(BASE) $(HEAD)

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: soak
soak: build ## long and large runs (growth to 10 million events, 10,000 agents), a real Kubernetes API server, a rehearsed release; results go to docs/benchmarks.md (Z4J_SOAK_EVENTS=1000000,... picks sizes)
	@scripts/env tools services agents lint release
	@scripts/k8s-check
	@scripts/test release
	@scripts/bench soak

.PHONY: wheels
wheels: dashboard ## build what `pip install z4j` installs, for every platform, into dist/wheels
	@scripts/env tools
	scripts/wheels dist/wheels

.PHONY: release
release: ## build a release twice, compare, and leave it in dist/ (ARGS=--rehearse: this platform, any tree)
	@scripts/env release
	scripts/release $(ARGS)

.PHONY: clean
clean: ## remove what was built; tools in .cache stay
	rm -rf bin dist artifacts .cache/stamp/dashboard
	@if [ -d $(DASHBOARD)/node_modules ]; then node $(DASHBOARD)/scripts/clean.mjs; fi
