# SPDX-License-Identifier: Apache-2.0
#
# Each target installs what it needs by itself (tools/deps.sh). "make help" lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help deps shim binary gen ok test demo bench fuzz soak fmt clean distclean

deno := .toolchain/bin/deno
export DENO_DIR := $(CURDIR)/.toolchain/cache
export DENO_TLS_CA_STORE ?= mozilla,system
export DENO_NO_UPDATE_CHECK := 1

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r a b; do printf '%-12s %s\n' "$$a" "$$b"; done

deps: ## Deno, npm packages and Debian packages, where they are missing
	@tools/deps.sh

shim: ## build/shim/libpsp_dp_soft.so
	@tools/deps.sh build
	@$(MAKE) --no-print-directory -C c-shim

binary: ## psp-agent as one file, build/bin/psp-agent-<arch> (ARCH=aarch64: for a DPU)
	@tools/deps.sh npm build binary $(if $(filter-out $(shell uname -m),$(or $(ARCH),$(shell uname -m))),cross)
	@tools/binary/build.sh $(ARCH)

gen: ## src/rpc/gen from proto/
	@tools/deps.sh npm gen
	@tools/gen.sh

ok: ## what must be green before every commit, under a minute
	@tools/deps.sh npm build gen format net
	@tools/ok.sh

test: ## every suite; the last line is "N passed, N failed"
	@tools/deps.sh
	@tools/test.sh

demo: ## two hosts in namespaces, a ping and a copy, encrypted (HOLD=1 leaves them running)
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim
	@exec tools/demo.sh

bench: ## figures: latency, throughput, exchanges per second
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim
	@for f in bench/*.ts; do echo "== $$f"; $(deno) task --quiet bench "$$f" || exit 1; done

fuzz: ## frame parser, PSP opener and answerers of ARP, ND and DHCP, FUZZ_SECONDS=30 each
	@tools/deps.sh npm build fuzz
	@tools/fuzz.sh $(FUZZ_SECONDS)

soak: ## the fault tests at full length; hours
	@tools/deps.sh
	@$(MAKE) --no-print-directory -s -C c-shim
	@PSP_SOAK=1 TEST_TIMEOUT=36000 tools/test.sh unit e2e

fmt: ## formats TypeScript and C
	@tools/deps.sh npm format
	@$(deno) fmt --quiet
	@$(MAKE) --no-print-directory -C c-shim fmt
	@$(MAKE) --no-print-directory -C tools/launcher fmt

clean: ## removes build/
	@rm -rf build

distclean: clean ## removes build/ and .toolchain/
	@rm -rf .toolchain
