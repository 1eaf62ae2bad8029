#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tests that need what neither npm nor Debian has: conformance suites of HTTP/2 and of Connect, a TLS client of another
# implementation and grpcurl, Go modules that are built into build/world with the machine's Go, and Python's gRPC. What
# cannot be fetched or built is said by name, and fails nothing. The last line is "N passed, N failed".
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

# name, test file
run_tests() {
	log=$world/$1.log
	timeout --kill-after=20 "${TEST_TIMEOUT:-900}" \
		"$deno" task --quiet test:world "tests/world/$2" >"$log" 2>&1 </dev/null &
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

# name, Go package, test file, the folder of its module in tests/world
try_go() {
	rm -f "$world/bin/$1"
	if ! command -v go >/dev/null; then
		echo "not run: $1: there is no Go (go 1.24 or later)"
	elif ! (cd "tests/world/${4:-.}" && timeout 600 go build -o "$world/bin/" "$2") >"$world/$1.log" 2>&1 </dev/null; then
		echo "not run: $1: it cannot be fetched or built: $(tail -n 1 "$world/$1.log")"
	else
		run_tests "$1" "$3"
	fi
}

# name, test file; what tests/world/requirements.txt pins is put beside the agent, not into the machine's Python
try_python() {
	wanted=tests/world/requirements.txt
	if ! python3 -m pip --version >/dev/null 2>&1; then
		echo "not run: $1: there is no Python with pip (python3 -m pip)"
		return
	fi
	if ! cmp -s "$wanted" "$world/python/requirements.txt"; then
		rm -rf "$world/python"
		if ! timeout 600 python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
			--target "$world/python" --requirement "$wanted" >"$world/$1.log" 2>&1 </dev/null; then
			echo "not run: $1: it cannot be fetched: $(tail -n 1 "$world/$1.log")"
			return
		fi
		cp "$wanted" "$world/python/requirements.txt"
	fi
	run_tests "$1" "$2"
}

try_go h2spec github.com/summerwind/h2spec/cmd/h2spec h2spec_test.ts
try_go tlsclient ./tlsclient key_exchange_test.ts
try_go grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl grpcurl_test.ts grpcurl
try_python grpcio grpcio_test.ts
try_go connectconformance connectrpc.com/conformance/cmd/connectconformance conformance_test.ts conformance
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
