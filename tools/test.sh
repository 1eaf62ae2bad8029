#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs every suite to its end, whatever fails on the way: the C tests (plain, and under ASan and UBSan),
# the unit tests in TypeScript, the end-to-end tests in network namespaces (these need root), the binary,
# and half a minute of fuzzing.
#   tools/test.sh [c|unit|e2e|standin|binary|fuzz|tsan]...    one after the other
#   tools/test.sh                                             all of them but tsan, which takes minutes; the end-to-end
#                                                             tests, which mostly wait for packets, and then the binary's
#                                                             have the stand-in's beside them
# Files of unit and end-to-end tests run side by side, as many as there are processors, or as DENO_JOBS says: each test has
# namespaces, directories and ports of its own.
# One line per suite, and as the last line the sum: "N passed, N failed". A suite that ran no test, that
# skipped one, or that ended badly without saying so, counts as one failed test more.
#   V=1            shows the whole output of each suite, not only of those that failed
#   TEST_TIMEOUT   seconds for each suite, default 1800
set -u

cd "$(dirname "$0")/.." || exit 1
deno=$PWD/.toolchain/bin/deno
DENO_DIR=$PWD/.toolchain/cache
DENO_NO_UPDATE_CHECK=1
NO_COLOR=1
export DENO_DIR DENO_NO_UPDATE_CHECK NO_COLOR
logs=build/test
mkdir -p "$logs"
sums=$(mktemp -d)
beside=
child=
# timeout(1) makes itself a group: what it started goes with it.
stop() {
	test -z "$child" || kill "$child" 2>/dev/null
	test -z "$beside" || kill "$beside" 2>/dev/null
	exit 130
}
trap 'echo interrupted >&2; stop' HUP INT TERM
trap 'rm -rf "$sums"' EXIT

# Command line of a suite, to be run under timeout.
run_suite() {
	case $1 in
	c) set -- make -s -C c-shim -j "$(nproc)" test ;;
	unit) set -- "$deno" task --quiet test ;;
	e2e) set -- "$deno" task --quiet test:e2e ;;
	standin) set -- tools/standin.sh ;;
	binary) set -- tools/binary/test.sh ;;
	fuzz) set -- tools/fuzz.sh 10 ;;
	tsan) set -- make -s -C c-shim -j "$(nproc)" tsan ;;
	esac
	timeout --kill-after=20 "${TEST_TIMEOUT:-1800}" "$@"
}

# "passed failed" of an output: the last "N passed, N failed", or Deno's last "N passed (..) | N failed | N ignored".
counts() {
	sed -n \
		-e 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2 0/p' \
		-e 's/^\(ok\|FAILED\) | \([0-9][0-9]*\) passed\( ([^)]*)\)\{0,1\} | \([0-9][0-9]*\) failed\( ([^)]*)\)\{0,1\}\( | \([0-9][0-9]*\) ignored\)\{0,1\}.*$/\2 \4 0\7/p' \
		"$1" | tail -n 1
}

suite() {
	name=$1
	log=$logs/$name.log
	begin=$(date +%s)
	run_suite "$name" >"$log" 2>&1 </dev/null &
	child=$!
	wait "$child"
	status=$?
	child=
	set -- $(counts "$log")
	p=${1:-0} f=${2:-0} ignored=${3:-0}
	note=
	if [ "$status" -eq 124 ]; then
		note=" (took longer than ${TEST_TIMEOUT:-1800} s)"
		f=$((f + 1))
	elif [ "$((p + f))" -eq 0 ]; then
		note=" (ran no test; exit status $status)"
		f=1
	elif [ "$ignored" -ne 0 ]; then
		note=" (skipped $((ignored)), which is not allowed)"
		f=$((f + 1))
	elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		note=" (exit status $status)"
		f=1
	fi
	echo "$p $f" >"$sums/$name"
	# Of suites with agents: their logs are held against the protocol, and a refusal fails its test.
	steps=$(sed -n 's/^protocol: \([0-9][0-9]*\) steps checked, 0 refused$/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	test "$steps" -eq 0 || note="$note ($steps steps of the protocol checked)"
	# In one piece: two suites may end together.
	{
		[ "$f" -eq 0 ] && [ -z "${V:-}" ] || sed 's/^/    | /' "$log"
		printf '%-7s %s: %d passed, %d failed, %d s%s\n' \
			"$name" "$([ "$f" -eq 0 ] && echo ok || echo FAILED)" "$p" "$f" \
			$(($(date +%s) - begin)) "$note"
	} >"$sums/said.$name"
	cat "$sums/said.$name"
	rm "$sums/said.$name"
}

# The suites need the shim, and run without looking at types. What fails here counts as a failed test.
prepare() {
	name=$1
	shift
	"$@" >"$logs/$name.log" 2>&1 </dev/null && return
	sed 's/^/    | /' "$logs/$name.log"
	printf '%-5s FAILED: %s\n' "$name" "$*"
	echo "0 1" >"$sums/$name"
}

for name in "$@"; do
	case $name in
	c | unit | e2e | standin | binary | fuzz) ;;
	*)
		echo "No suite is called \"$name\": c, unit, e2e, standin, binary, fuzz" >&2
		exit 2
		;;
	esac
done
prepare build make -s -C c-shim -j "$(nproc)"
prepare types "$deno" check --quiet .

if [ $# -gt 0 ]; then
	for name in "$@"; do suite "$name"; done
else
	set -- c unit e2e standin binary fuzz
	suite c
	suite unit
	(
		trap - EXIT
		trap stop HUP INT TERM
		suite standin
	) &
	beside=$!
	suite e2e
	suite binary
	wait "$beside"
	beside=
	suite fuzz
fi
# One that left no sum was ended by somebody.
for name in "$@"; do
	[ -s "$sums/$name" ] || echo "0 1" >"$sums/$name"
done
cat "$sums"/* | awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f != 0 }'
