# Run `make` to see what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help build demo test test-clusters fuzz bench bench-growth fmt lint clean

# The library, and the modules inside the repository that keep their dependencies out of it.
modules := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/.*/*' -not -path '*/testdata/*' | sort))

# What the linters are, at which version.
staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.8.2
revive := github.com/mgechev/revive@v1.15.0
actionlint := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# in_modules COMMAND: runs the command in every module and fails at the end if it failed in any.
define in_modules
@failed=; for module in $(modules); do \
	printf '\n--- %s: %s\n' "$$module" '$(1)'; \
	(cd "$$module" && $(1)) || failed="$$failed $$module"; \
done; \
if [ -n "$$failed" ]; then echo "failed in:$$failed" >&2; exit 1; fi
endef

help: ## show this
	@echo 'usage: make TARGET'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 16

build: ## build the command line program, bin/mysqlsession
	@scripts/need go
	cd cmd/mysqlsession && CGO_ENABLED=0 go build -o ../../bin/mysqlsession .

demo: ## try it out: a web application whose sessions are in a real database (ARGS='--listen :8080')
	@scripts/need go demo-server
	@cd cmd/mysqlsession && CGO_ENABLED=0 go build -o ../../bin/mysqlsession .
	@exec bin/mysqlsession demo $(ARGS)

# A result that is remembered says nothing about a server that has changed since: -count=1.
test: ## run all tests with the race detector on real servers (ARGS='-run TestName')
	@scripts/need go compiler test-server
	$(call in_modules,CGO_ENABLED=1 go test -race -count=1 $(ARGS) ./...)
	scripts/test-without-race $(ARGS)

# As they take minutes, and root on Debian, they are no part of the others.
test-clusters: ## run the tests on clusters of Galera and Group Replication (ARGS='-run Galera -v')
	@scripts/need go compiler
	CGO_ENABLED=1 go test -race -count=1 -tags clusters -timeout 20m $(ARGS) ./internal/clusters

fuzz: ## run every fuzz target, two or more at a time (ARGS=SECONDS, 60 for each)
	@scripts/need go compiler
	scripts/fuzz $(ARGS)

bench: ## compare the speed with that of others, in paired rounds (ARGS='-o get -c 64 3 0.5s'; all with ARGS=-h)
	@scripts/need go bench-server
	@scripts/bench $(ARGS)

bench-growth: ## tell what operations cost with up to five million sessions (ARGS='-s 10000,1000000'; all with ARGS=-h)
	@scripts/need go bench-server
	@scripts/bench-growth $(ARGS)

fmt: ## format the Go code
	@scripts/need go
	gofmt -w .

lint: ## look for mistakes: formatting, vet, staticcheck, revive, shellcheck, actionlint
	@scripts/need go shellcheck
	@unformatted=$$(gofmt -l .) || exit 1; if [ -n "$$unformatted" ]; then \
		echo "not formatted, run 'make fmt':" >&2; echo "$$unformatted" >&2; exit 1; fi
	$(call in_modules,go vet ./...)
	go vet -tags clusters ./internal/clusters
	$(call in_modules,go run $(staticcheck) ./...)
	go run $(staticcheck) -tags clusters ./internal/clusters
	go run $(revive) -config revive.toml -set_exit_status ./...
	scripts/lint-shell
	go run $(actionlint) .github/workflows/*.yml

clean: ## remove what was built
	rm -rf bin
