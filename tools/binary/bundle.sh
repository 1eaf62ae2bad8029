#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The program and its packages as a few files of JavaScript: main.js, and one for what each command
# loads when it is called.
#   tools/binary/bundle.sh OUT [DENO]
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
deno=${2:-$root/.toolchain/bin/deno}
# What `deno bundle` of the pinned Deno fetches from the registry, once.
ESBUILD_SHA256_X64=3331e0b23c99d93d9a39e436a4838de40ca1c95ac3bcbd9874ba169d8545b634
cd "$root"
: "${DENO_DIR:=$root/.toolchain/cache}"
export DENO_DIR DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
rm -f "$out"/*.js
"$deno" bundle --quiet --platform deno --code-splitting --outdir "$out" main.ts
# The page goes into the program: a file beside it could not be read in the self-extracting form.
tools/page.sh
"$deno" run --quiet --no-prompt --allow-read --allow-write="$out" tools/binary/embed_page.ts "$out" build/page/page.html
for file in "$DENO_DIR"/dl/esbuild-*/esbuild-linux-x64; do
	[ -e "$file" ] || continue
	[ "$(sha256sum "$file" | cut -d " " -f 1)" = "$ESBUILD_SHA256_X64" ] || {
		rm -f "$out"/*.js
		echo "Cannot bundle: $(basename "$(dirname "$file")") is not the pinned one" >&2
		exit 1
	}
done
# Everybody may read the program; whoever built it is nobody's business.
chmod 0644 "$out"/*.js
