#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The DOCA plane on its stand-in (c-shim/doca-standin): the stand-in's own tests, and agents in network
# namespaces that run on it. Needs root and Debian's DPDK. The last line is "N passed, N failed".
#   tools/standin.sh [test file or folder]...    these instead of the selection of deno.json
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

log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
	make -s -C c-shim -j "$(nproc)" test-standin
	"$deno" task --quiet test:standin
} >"$log" 2>&1
cat "$log"
# "passed failed" of both.
sed -n \
	-e 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' \
	-e 's/^\(ok\|FAILED\) | \([0-9][0-9]*\) passed\( ([^)]*)\)\{0,1\} | \([0-9][0-9]*\) failed.*$/\2 \4/p' "$log" |
	awk '{ line[++n] = $0 }
		END {
			# The C tests print a line for each program before the one for all of them.
			for (i = n - 1; i <= n; i++) { split(line[i], v, " "); p += v[1]; f += v[2] }
			if (n < 2) f++
			printf "%d passed, %d failed\n", p, f
			exit f != 0
		}'
