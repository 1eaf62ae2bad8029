#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The page of the status listener as one file that asks nobody for anything: build/page/page.html.
#   tools/page.sh [OUT]      does nothing, quickly, when that is newer than its sources
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/build/page}
deno=$root/.toolchain/bin/deno
: "${DENO_DIR:=$root/.toolchain/cache}"
export DENO_DIR DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
cd "$root"
page=$out/page.html
[ ! -e "$page" ] || [ -n "$(find src/page src/rpc/gen src/model deno.lock tools/page.ts tools/page.sh \
	-newer "$page" -print -quit)" ] || exit 0
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$deno" bundle --quiet --platform browser --minify --output "$work/main.js" src/page/main.ts
"$deno" run --quiet --cached-only --no-prompt --allow-read --allow-write="$out" tools/page.ts "$work/main.js" "$page.$$"
mv "$page.$$" "$page"
