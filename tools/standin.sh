#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The DOCA plane on its stand-in (c-shim/doca-standin): the stand-in's own tests, and agents in network
# namespaces that run on it: with DOCA 3.0 and 3.2 the selection of deno.json, with 3.3 a few of them.
# Needs root and Debian's DPDK. The last line is "N passed, N failed".
#   tools/standin.sh [test file or folder]...    these instead, with 3.0
#   PSP_STANDIN=302 tools/standin.sh FILE...     the same with 3.2; 303: with 3.3
set -u

cd "$(dirname "$0")/.." || exit 1
deno=$PWD/.toolchain/bin/deno
DENO_DIR=$PWD/.toolchain/cache
DENO_NO_UPDATE_CHECK=1
PSP_PLANE=doca
NO_COLOR=1
export DENO_DIR DENO_NO_UPDATE_CHECK PSP_PLANE NO_COLOR

make -s -C c-shim -j "$(nproc)" doca-standin || exit 1
if [ $# -gt 0 ]; then
	exec "$deno" test --no-check --cached-only --no-prompt --allow-all "$@"
fi

logs=$(mktemp -d)
first=
trap 'test -z "$first" || kill "$first" 2>/dev/null; rm -rf "$logs"' EXIT
trap 'exit 130' HUP INT TERM
make -s -C c-shim -j "$(nproc)" test-standin >"$logs/1" 2>&1
# They mostly wait for packets: two releases run side by side.
"$deno" task --quiet test:standin tests/standin/ >"$logs/2" 2>&1 &
first=$!
PSP_STANDIN=302 "$deno" task --quiet test:standin >"$logs/3" 2>&1
PSP_STANDIN=303 "$deno" task --quiet test:standin:short >"$logs/4" 2>&1
wait "$first"
first=
# Whatever the device refuses, each function of DOCA's once, under ASan and UBSan: the way back is where memory goes wrong.
make -s -C c-shim -j "$(nproc)" doca-standin-asan >"$logs/5" 2>&1 &&
	PSP_STANDIN=302-asan ASAN_OPTIONS=detect_leaks=0:handle_segv=0 \
		LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)" \
		"$deno" test --no-check --cached-only --no-prompt --allow-all tests/standin/hardware_refusals_test.ts >"$logs/5" 2>&1
# Of each part its last "N passed, N failed" or "ok | N passed (..) | N failed"; one without it has failed. The output of a
# test that ran tests of its own may stand before it.
passed=0
failed=0
for part in "1 C tests" "2 3.0" "3 3.2" "4 3.3" "5 3.2, refusals under ASan"; do
	log=$logs/${part%% *}
	echo "== ${part#* }"
	cat "$log"
	set -- $(sed -n \
		-e 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' \
		-e 's/^\(ok\|FAILED\) | \([0-9][0-9]*\) passed\( ([^)]*)\)\{0,1\} | \([0-9][0-9]*\) failed.*$/\2 \4/p' "$log" |
		tail -n 1)
	passed=$((passed + ${1:-0}))
	failed=$((failed + ${2:-1}))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
