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
log=$logs/all
for i in 1 2 3 4; do
	echo "== $(echo "C tests;3.0;3.2;3.3" | cut -d ';' -f $i)"
	cat "$logs/$i"
done >"$log"
cat "$log"
# "passed failed" of each.
sed -n \
	-e 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' \
	-e 's/^\(ok\|FAILED\) | \([0-9][0-9]*\) passed\( ([^)]*)\)\{0,1\} | \([0-9][0-9]*\) failed.*$/\2 \4/p' "$log" |
	awk '{ line[++n] = $0 }
		END {
			# The C tests print a line for each program before the one for all of them.
			for (i = n - 3; i <= n; i++) { split(line[i], v, " "); p += v[1]; f += v[2] }
			if (n < 4) f++
			printf "%d passed, %d failed\n", p, f
			exit f != 0
		}'
