#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tests that need what neither npm nor Debian has: conformance suites of HTTP/2 and of Connect, and a TLS client of another
# implementation, Go modules that are built into build/world with the machine's Go. What cannot be fetched or built is
# said by name, and fails nothing. The last line is "N passed, N failed".
set -u

cd "$(dirname "$0")/.." || exit 1
root=$PWD
world=$root/build/world
deno=$root/.toolchain/bin/deno
DENO_DIR=$root/.toolchain/cache
DENO_NO_UPDATE_CHECK=1
NO_COLOR=1
export DENO_DIR DENO_NO_UPDATE_CHECK NO_COLOR
# Nothing of it lands in the user's own folders, nor is another toolchain fetched.
GOPATH=$world/go
GOCACHE=$world/cache
GOBIN=
GOTOOLCHAIN=local
GOFLAGS="-modcacherw -mod=readonly"
CGO_ENABLED=0
export GOPATH GOCACHE GOBIN GOTOOLCHAIN GOFLAGS CGO_ENABLED
mkdir -p "$world/bin"
passed=0
failed=0
child=
trap 'test -z "$child" || kill "$child" 2>/dev/null; echo "interrupted" >&2; exit 130' HUP INT TERM

# name, Go package, test file, the folder of its module in tests/world
try() {
	log=$world/$1.log
	rm -f "$world/bin/$1"
	if ! command -v go >/dev/null; then
		echo "not run: $1: there is no Go (go 1.24 or later)"
		return
	fi
	if ! (cd "tests/world/${4:-.}" && timeout 600 go build -o "$world/bin/" "$2") >"$log" 2>&1 </dev/null; then
		echo "not run: $1: it cannot be fetched or built: $(tail -n 1 "$log")"
		return
	fi
	timeout --kill-after=20 "${TEST_TIMEOUT:-900}" \
		"$deno" task --quiet test:world "tests/world/$3" >"$log" 2>&1 </dev/null &
	child=$!
	wait "$child"
	status=$?
	child=
	set -- "$1" $(sed -n 's/^\(ok\|FAILED\) | \([0-9]*\) passed\( ([^)]*)\)\{0,1\} | \([0-9]*\) failed.*$/\2 \4/p' "$log" | tail -n 1)
	p=${2:-0} f=${3:-0}
	# Whatever else went wrong counts as one that failed.
	[ "$status" -eq 0 ] || [ "$f" -gt 0 ] || f=1
	[ "$((p + f))" -gt 0 ] || f=1
	[ "$f" -eq 0 ] && [ -z "${V:-}" ] || sed 's/^/    | /' "$log"
	passed=$((passed + p))
	failed=$((failed + f))
	printf '%-18s %s: %d passed, %d failed\n' "$1" "$([ "$f" -eq 0 ] && echo ok || echo FAILED)" "$p" "$f"
}

try h2spec github.com/summerwind/h2spec/cmd/h2spec h2spec_test.ts
try tlsclient ./tlsclient key_exchange_test.ts
try connectconformance connectrpc.com/conformance/cmd/connectconformance conformance_test.ts conformance
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
