#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The payload of the launcher (tools/launcher/payload.h) as C and assembler.
#   tools/binary/payload.sh OUT RUNTIME PROGRAM SHIM...
# OUT is a directory; of the files only the names and contents matter. ZSTD_LEVEL: default 12.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
runtime=$2
program=$3
shift

# Two threads wherever it is built: the number changes what zstd writes.
level=${ZSTD_LEVEL:-12}
: >"$out/table"
: >"$out/hashes"
cat >"$out/payload.S" <<'EOF'
	.section .rodata
EOF
n=0
for file in "$@"; do
	name=$(basename "$file")
	mode=0600
	[ "$file" != "$runtime" ] || { name=psp-agent mode=0700; }
	case $name in *.so) mode=0700 ;; esac
	sum=$(sha256sum "$file" | cut -d " " -f 1)
	# What was compressed once stays: the runtime takes seconds.
	packed=$out/$sum-$level.zst
	[ -s "$packed" ] || {
		zstd -q -f -T2 "-$level" -o "$packed.new" "$file"
		mv "$packed.new" "$packed"
	}
	cat >>"$out/payload.S" <<EOF
	.balign 16
	.globl payload_${n}_start
	.hidden payload_${n}_start
payload_${n}_start:
	.incbin "$packed"
	.globl payload_${n}_end
	.hidden payload_${n}_end
payload_${n}_end:
EOF
	echo "$name $mode $sum" >>"$out/hashes"
	octets=$(echo "$sum" | sed 's/../0x&,/g')
	echo "	{\"$name\", $mode, $(stat -c %s "$file"), {$octets}, payload_${n}_start, payload_${n}_end}," \
		>>"$out/table"
	n=$((n + 1))
done
cat >>"$out/payload.S" <<'EOF'
	.section .note.GNU-stack, "", %progbits
EOF

{
	echo '#include "payload.h"'
	i=0
	while [ "$i" -lt "$n" ]; do
		echo "extern const uint8_t payload_${i}_start[] __attribute__((visibility(\"hidden\")));"
		echo "extern const uint8_t payload_${i}_end[] __attribute__((visibility(\"hidden\")));"
		i=$((i + 1))
	done
	echo "const struct payload_file payload_files[] = {"
	cat "$out/table"
	echo "};"
	echo "const size_t payload_file_count = $n;"
	echo "const char payload_id[] = \"$(sha256sum "$out/hashes" | cut -c 1-24)\";"
	echo "const char payload_runtime[] = \"psp-agent\";"
	echo "const char payload_program[] = \"$(basename "$program")\";"
	echo "const char *const payload_flags[] = {"
	# The runtime keeps no code cache: it would write one.
	printf '\t"%s",\n' run --quiet --no-code-cache
	grep -v '^#' "$here/flags" | sed 's/.*/	"&",/'
	echo "	0,"
	echo "};"
} >"$out/payload.c"
rm -f "$out/table" "$out/hashes"
