#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes for a bounded time: the frame parser, the PSP opener and the cache of flows (libFuzzer), and the answerers of
# ARP, ND and DHCP.
#   tools/fuzz.sh [seconds]   for each of them; 30 by default
# The last line is "N passed, N failed".
set -u

cd "$(dirname "$0")/.." || exit 1
seconds=${1:-30}
failed=0
passed=0
done_with() {
	if [ "$1" -eq 0 ]; then passed=$((passed + $2)); else failed=$((failed + 1)); fi
}

make -s -C c-shim fuzz FUZZ_SECONDS="$seconds"
done_with $? "$(ls c-shim/tests/fuzz_*.c | wc -l)"
DENO_DIR=$PWD/.toolchain/cache .toolchain/bin/deno run --cached-only --allow-read --allow-env \
	tests/fuzz/answerers.ts --seconds="$seconds"
done_with $? 1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
