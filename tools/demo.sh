#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the demo from the sources. HOLD=1 leaves it running and says what to try.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "demo: this needs root, to make network namespaces" >&2
	exit 2
fi
for tool in ip ping tcpdump; do
	if ! command -v "$tool" >/dev/null; then
		echo "demo: \"$tool\" is missing: install the Debian packages iproute2, iputils-ping and tcpdump" >&2
		exit 2
	fi
done
deno=.toolchain/bin/deno
if [ -x "$deno" ]; then
	DENO_DIR="${DENO_DIR:-$PWD/.toolchain/cache}"
	export DENO_DIR
else
	deno=$(command -v deno) || {
		echo "demo: no Deno: run \"make deps\" first" >&2
		exit 2
	}
fi
export DENO_TLS_CA_STORE="${DENO_TLS_CA_STORE:-mozilla,system}"
exec "$deno" run -A --quiet tools/demo/main.ts "$@"
