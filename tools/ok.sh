#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What must be green before every commit: format, lint, types, proto unchanged, C build, C tests under
# sanitizers, unit tests. Stops at the first thing that is not, and says how long each step took.
# `make ok` installs what it needs first.
set -eu

cd "$(dirname "$0")/.."
deno=.toolchain/bin/deno
DENO_DIR=$PWD/.toolchain/cache
DENO_NO_UPDATE_CHECK=1
NO_COLOR=1
export DENO_DIR DENO_NO_UPDATE_CHECK NO_COLOR
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' HUP INT TERM

now() { date +%s%N | cut -c 1-13; }
start=$(now)

step() {
	name=$1
	shift
	begin=$(now)
	if ! "$@" >"$log" 2>&1 </dev/null; then
		cat "$log"
		printf '%-14s FAILED: %s\n' "$name" "$*"
		exit 1
	fi
	took=$(($(now) - begin))
	printf '%-14s %3d.%01d s\n' "$name" $((took / 1000)) $((took % 1000 / 100))
}

step "format" $deno fmt --check
step "format C" make -s -C c-shim fmt-check
step "lint" $deno lint --quiet
step "types" $deno check --quiet .
step "proto" env DENO=$PWD/$deno tools/gen.sh --check
step "build C" make -s -C c-shim -j "$(nproc)"
step "test C" make -s -C c-shim -j "$(nproc)" test
step "unit tests" $deno task --quiet test
took=$(($(now) - start))
printf '%-14s %3d.%01d s\n' "ok" $((took / 1000)) $((took % 1000 / 100))
