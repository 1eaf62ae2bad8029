#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Size of a binary with what makes it up, and how long "version" takes.
#   tools/binary/report.sh BINARY FORM ARCH STAGE PAYLOAD
set -eu

binary=$1 form=$2 arch=$3 stage=$4 payload=$5

mb() { awk -v n="$1" 'BEGIN { printf "%.1f MB", n / 1e6 }'; }
size() { cat "$@" | wc -c; }

echo "$(basename "$binary"): $form, $(mb "$(size "$binary")"), SHA-256 $(sha256sum "$binary" | cut -d " " -f 1)"
program=$(size "$stage"/*.js)
shim=$(size "$stage"/*.so)
if [ "$form" = "deno compile" ]; then
	rest=$(($(size "$binary") - program - shim))
	echo "  denort $(mb "$rest"), program $(mb "$program"), shim $(mb "$shim")"
else
	# name, octets, compressed octets
	sed -n 's/^	{"\([^"]*\)", [0-7]*, \([0-9]*\), .*/\1 \2/p' "$payload/payload.c" >"$payload/names"
	sed -n 's/^	\.incbin "\(.*\)"/\1/p' "$payload/payload.S" | xargs stat -c %s >"$payload/sizes"
	paste -d " " "$payload/names" "$payload/sizes" | awk -v all="$(size "$binary")" '
		{ part = $1 ~ /\.js$/ ? "program" : $1 ~ /\.so$/ ? "shim" : "runtime" }
		{ plain[part] += $2; packed[part] += $3; all -= $3 }
		END {
			for (part in plain)
				printf "  %s %.1f MB (%.1f MB unpacked),", part, packed[part] / 1e6, plain[part] / 1e6
			printf " launcher %.1f MB\n", all / 1e6
		}'
fi

# Another architecture's would take half a minute under an emulator, and say nothing.
[ "$arch" = "$(uname -m)" ] || exit 0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
best=
for i in 0 1 2 3 4 5; do
	begin=$(date +%s%N)
	env -i PSP_AGENT_CACHE="$place" "$binary" version >/dev/null
	took=$((($(date +%s%N) - begin) / 1000000))
	# The first one may unpack.
	[ "$i" -gt 0 ] || { first=$took && continue; }
	[ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
done
echo "  version: $best ms, the first time $first ms"
