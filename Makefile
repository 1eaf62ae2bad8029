# SPDX-License-Identifier: Apache-2.0
#
# Each target installs what it needs by itself (tools/deps.sh). "make help" lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help deps shim page binary gen ok test test-world demo bench bench-path bench-plane bench-fleet bench-fleet-sim explore fuzz soak faults fmt clean distclean

deno := .toolchain/bin/deno
export DENO_DIR := $(CURDIR)/.toolchain/cache
export DENO_TLS_CA_STORE ?= mozilla,system
export DENO_NO_UPDATE_CHECK := 1

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r a b; do printf '%-16s %s\n' "$$a" "$$b"; done

deps: ## Deno, npm packages and Debian packages, where they are missing
	@tools/deps.sh

shim: ## build/shim/libpsp_dp_soft.so
	@tools/deps.sh build
	@$(MAKE) --no-print-directory -C c-shim

binary: ## psp-agent as one file, build/bin/psp-agent-<arch> (ARCH=aarch64: for a DPU)
	@tools/deps.sh npm build binary $(if $(filter-out $(shell uname -m),$(or $(ARCH),$(shell uname -m))),cross)
	@tools/binary/build.sh $(ARCH)

page: ## build/page/page.html, what the status listener answers at /
	@tools/deps.sh npm
	@tools/page.sh

gen: ## src/rpc/gen from proto/
	@tools/deps.sh npm gen
	@tools/gen.sh

ok: ## what must be green before every commit, under a minute
	@tools/deps.sh npm build gen format net
	@tools/lock.sh shared tools/ok.sh

test: ## every suite; the last line is "N passed, N failed"
	@tools/deps.sh
	@tools/lock.sh shared tools/test.sh

test-world: ## tests that need Go modules or Python's: h2spec, Connect's conformance, TLS, gRPC; says what it cannot run
	@tools/deps.sh npm net build
	@tools/lock.sh shared tools/world.sh

demo: ## two hosts in namespaces, a ping and a copy, encrypted (HOLD=1 leaves them running)
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim
	@tools/page.sh
	@exec tools/lock.sh shared tools/demo.sh

# What benches need, and then nothing else of this tree beside them.
bench: ## figures: latency, throughput, exchanges per second
	@tools/deps.sh npm build net bench
	@$(MAKE) --no-print-directory -s -C c-shim
	@exec tools/lock.sh exclusive sh -c \
		'for f in $(filter-out bench/fleet.ts bench/fleet_sim.ts,$(wildcard bench/*.ts)); do echo "== $$f"; $(deno) task --quiet bench "$$f" || exit 1; done'

bench-path: ## the packet path beside a cable, WireGuard, Nebula and OpenVPN (ROUNDS=1: a trial)
	@tools/deps.sh npm build net
	@tools/deps.sh bench || echo "Going on with what is there; the bench names what is not" >&2
	@$(MAKE) --no-print-directory -s -C c-shim
	@$(MAKE) --no-print-directory -s -C bench/path
	@WIREGUARD_GO="$$(tools/wireguard_go.sh)" exec tools/lock.sh exclusive $(deno) run -A --quiet --cached-only --no-check \
		bench/path/main.ts

bench-plane: ## the engine between ports in memory, beside bare ipsec-mb (ROUNDS=1: a trial)
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim bench
	@exec tools/lock.sh exclusive $(deno) run -A --quiet --cached-only --no-check bench/plane/main.ts

bench-fleet: ## one agent among ten thousand peers: cold start, rotation, restore, rest; some 20 minutes
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim
	@exec tools/lock.sh exclusive $(deno) run -A --quiet --cached-only --no-check bench/fleet.ts

bench-fleet-sim: ## ten thousand agents in one process, on a virtual clock: minutes to hours (SIM="--hosts=1000")
	@tools/deps.sh npm
	@tools/lock.sh shared $(deno) run -A --quiet --cached-only --no-check --v8-flags=--max-old-space-size=12000 \
		bench/fleet_sim.ts $(or $(SIM),--hosts=10000)

explore: ## everything that may happen to two or three hosts, as far as MINUTES=10 go, on every processor
	@tools/deps.sh npm
	@tools/lock.sh shared $(deno) run -A --quiet --cached-only --no-check tests/explore/main.ts

fuzz: ## frame parser, PSP opener, cache of flows and answerers of ARP, ND and DHCP, FUZZ_SECONDS=30 each
	@tools/deps.sh npm build fuzz
	@tools/lock.sh shared tools/fuzz.sh $(FUZZ_SECONDS)

soak: ## a demon on three hosts, for MINUTES=60 (SEED=1: the same deeds again)
	@tools/deps.sh npm build net
	@$(MAKE) --no-print-directory -s -C c-shim
	@tools/lock.sh shared $(deno) run -A --quiet --cached-only --no-check tests/soak/main.ts

faults: ## the fault tests at full length, and the engine under ThreadSanitizer; hours
	@tools/deps.sh
	@$(MAKE) --no-print-directory -s -C c-shim
	@PSP_SOAK=1 TEST_TIMEOUT=36000 tools/lock.sh shared tools/test.sh tsan unit e2e

fmt: ## formats TypeScript and C
	@tools/deps.sh npm format
	@$(deno) fmt --quiet
	@$(MAKE) --no-print-directory -C c-shim fmt
	@$(MAKE) --no-print-directory -C tools/launcher fmt
	@$(MAKE) --no-print-directory -C bench/path fmt

clean: ## removes build/
	@rm -rf build

distclean: clean ## removes build/ and .toolchain/
	@rm -rf .toolchain
