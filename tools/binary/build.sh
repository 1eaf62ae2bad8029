#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# psp-agent as one file: build/bin/psp-agent-<arch>, and build/bin/psp-agent for this machine.
#   tools/binary/build.sh [x86_64|aarch64]
# By deno compile where its runtime (denort) can be had: DENORT_BIN, Deno's own cache, a download. Else
# self-extracting (tools/launcher). Says which, the size with what makes it up, and the start time.
#   FORM=compile|self-extracting   only that one; default: the first that works
#   OUT=dir                        instead of build/bin
#   COMPILER=deno                  the Deno that compiles (tests: the one that fits DENORT_BIN)
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tools/binary
native=$(uname -m)
arch=${1:-$native}
form=${FORM:-auto}
OUT=${OUT:-$root/build/bin}
export DENO_DIR="$root/.toolchain/cache" DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
deno=$root/.toolchain/bin/deno

fail() {
	echo "Cannot build the binary: $*" >&2
	exit 1
}

case $arch in
x86_64 | aarch64) ;;
*) fail "no such architecture \"$arch\": x86_64, aarch64" ;;
esac
work=$root/build/binary/$arch
stage=$work/stage
mkdir -p "$stage" "$OUT"
binary=$OUT/psp-agent-$arch

# ---- the parts -----------------------------------------------------------------------------------

foreign=
[ "$arch" = "$native" ] || {
	"$here/foreign.sh" "$arch"
	foreign=$root/.toolchain/$arch
}
# The C Makefile's own names; another directory than that of the native shim.
make -s -C "$root/c-shim" -j "$(nproc)" ARCH="$arch" ${foreign:+OPENSSL_DIR="$foreign"} >"$work/shim.log" 2>&1 || {
	cat "$work/shim.log" >&2
	fail "make -C c-shim ARCH=$arch"
}
shim=$root/build/shim${foreign:+-$arch}
rm -f "$stage"/*
"$here/bundle.sh" "$stage" "$deno"
cp "$shim"/libpsp_dp_soft.so "$stage"
# Only where DOCA's SDK was there to build it.
[ ! -e "$shim/libpsp_dp_doca.so" ] || cp "$shim/libpsp_dp_doca.so" "$stage"

# ---- the two forms -------------------------------------------------------------------------------

# Runs in the stage, so that no path of this machine gets in.
compile() {
	cd "$stage"
	set --
	while read -r flag; do
		case $flag in "#"*) ;; *) set -- "$@" "$flag" ;; esac
	done <"$here/flags"
	for so in *.so; do set -- "$@" --include "$so"; done
	rm -f "$binary.new"
	# No code cache: it would be written at run time, and differ with every build.
	timeout 300 "${COMPILER:-$deno}" compile --quiet --no-check --no-code-cache --target "$arch-unknown-linux-gnu" \
		"$@" --output "$binary.new" main.js
}

# Everything but the program itself, first the runtime.
self_extracting() {
	runtime=$(readlink -f "$deno")
	[ -z "$foreign" ] || runtime=$(readlink -f "$foreign/deno")
	"$here/payload.sh" "$work/payload" "$runtime" "$stage/main.js" \
		$(find "$stage" -type f ! -name main.js | LC_ALL=C sort)
	make -s -B -C "$root/tools/launcher" ARCH="$arch" OUT="$binary.new" PAYLOAD="$work/payload" \
		${foreign:+ZSTD_DIR="$foreign"}
}

made=
case $form in
auto | compile)
	if (compile) >"$work/compile.log" 2>&1; then
		made="deno compile"
	elif [ "$form" = compile ]; then
		cat "$work/compile.log" >&2
		fail "deno compile"
	else
		echo "deno compile cannot be used: denort is neither named by DENORT_BIN nor cached, nor can it be downloaded"
	fi
	;;
self-extracting) ;;
*) fail "no such form \"$form\": compile, self-extracting" ;;
esac
[ -n "$made" ] || {
	self_extracting
	made="self-extracting"
}
chmod 0755 "$binary.new"
mv "$binary.new" "$binary"
echo "$made" >"$binary.form"
[ "$arch" != "$native" ] || ln -sfn "psp-agent-$arch" "$OUT/psp-agent"

# ---- what came of it -----------------------------------------------------------------------------

"$here/report.sh" "$binary" "$made" "$arch" "$stage" "$work/payload"
