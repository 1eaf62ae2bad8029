#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the binary for both architectures and runs tests/binary/ with the real files.
# tools/test.sh calls it; the last line is Deno's own count.
set -eu

cd "$(dirname "$0")/../.."
tools/binary/build.sh
[ "$(uname -m)" = aarch64 ] || tools/binary/build.sh aarch64
# Every agent of the stories is the file alone in an empty root.
PSP_AGENT_BIN=$PWD/tests/binary/alone
export PSP_AGENT_BIN
exec .toolchain/bin/deno task --quiet test:binary
