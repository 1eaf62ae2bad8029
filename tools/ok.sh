#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What must be green before every commit: format, lint, types, proto unchanged, C build, C tests, unit tests. Stops at
# the first thing that is not, and says how long each step took. The sanitizers' twins of the C tests and the exploring
# of the protocol (tests/explore/) take minutes: they are `make test`'s. `make ok` installs what it needs first.
set -eu

cd "$(dirname "$0")/.."
deno=.toolchain/bin/deno
DENO_DIR=$PWD/.toolchain/cache
DENO_NO_UPDATE_CHECK=1
NO_COLOR=1
export DENO_DIR DENO_NO_UPDATE_CHECK NO_COLOR
logs=$(mktemp -d)
background=
trap 'test -z "$background" || kill "$background" 2>/dev/null; rm -rf "$logs"' EXIT
trap 'exit 130' HUP INT TERM

now() { date +%s%N | cut -c 1-13; }
start=$(now)

report() {
	took=$(($(now) - $2))
	printf '%-14s %3d.%01d s\n' "$1" $((took / 1000)) $((took % 1000 / 100))
}

step() {
	name=$1
	shift
	begin=$(now)
	if ! "$@" >"$logs/$name" 2>&1 </dev/null; then
		cat "$logs/$name"
		printf '%-14s FAILED: %s\n' "$name" "$*"
		return 1
	fi
	report "$name" "$begin"
}

step "format" $deno fmt --check
step "format C" sh -c "for d in c-shim tools/launcher bench/path; do make -s -C \$d fmt-check || exit 1; done"
step "build C" make -s -C c-shim -j "$(nproc)"
# The C tests mostly wait for packets: the rest runs beside them.
step "test C" make -s -C c-shim -j "$(nproc)" test-plain &
background=$!
step "lint" $deno lint --quiet
step "types" $deno check --quiet .
step "proto" env DENO="$PWD/$deno" tools/gen.sh --check
# Some wait for a certificate to run out: one more than there are processors.
DENO_JOBS=$(($(nproc) + 1))
export DENO_JOBS
step "unit tests" $deno task --quiet test:ok
wait "$background" || {
	background=
	exit 1
}
background=
report "ok" "$start"
