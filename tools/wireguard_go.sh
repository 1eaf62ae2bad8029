#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a current wireguard-go, to be compared with: WIREGUARD_GO, or one that the ordinary go client
# builds from the Go module proxy into build/bench/go. Prints nothing, and says why, where neither is to be had: the
# bench then names it as missing.
set -eu

# Newer than Debian 12's by four years, with segmentation offload on both sides.
VERSION=v0.0.0-20260522210424-ecfc5a8d5446

cd "$(dirname "$0")/.."
if [ -n "${WIREGUARD_GO:-}" ]; then
	echo "$WIREGUARD_GO"
	exit
fi
dir=$PWD/build/bench/go/$VERSION
if [ ! -x "$dir/wireguard" ]; then
	command -v go >/dev/null || {
		echo "No current wireguard-go: go is not installed (1.23 or later)" >&2
		exit
	}
	log=$PWD/build/bench/go.log
	mkdir -p "$dir"
	GOBIN=$dir GOFLAGS=-buildvcs=false go install "golang.zx2c4.com/wireguard@$VERSION" >"$log" 2>&1 </dev/null || {
		echo "No current wireguard-go: $(tail -n 1 "$log")" >&2
		exit
	}
fi
echo "$dir/wireguard"
