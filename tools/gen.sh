#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Generates src/rpc/gen/ from proto/ with protoc and protoc-gen-es.
#   tools/gen.sh           writes src/rpc/gen/
#   tools/gen.sh --check   writes nothing; fails with a sentence when src/rpc/gen/ is stale
# DENO names the runtime; without it the pinned one, then whatever is on PATH.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
plugin=npm:@bufbuild/protoc-gen-es@2.17.0
out=$root/src/rpc/gen

deno=${DENO:-}
if [ -z "$deno" ]; then
	deno=$root/.toolchain/bin/deno
	[ -x "$deno" ] || deno=$(command -v deno || true)
fi
[ -n "$deno" ] || {
	echo "Cannot generate code: no deno (run make deps)" >&2
	exit 1
}
command -v protoc >/dev/null || {
	echo "Cannot generate code: no protoc (Debian package protobuf-compiler)" >&2
	exit 1
}
if [ -z "${DENO_DIR:-}" ] && [ -d "$root/.toolchain/cache" ]; then
	DENO_DIR=$root/.toolchain/cache
	export DENO_DIR
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$tmp/gen"

# protoc starts a plugin as a program. Its packages are locked apart from the agent's own.
cat >"$tmp/protoc-gen-es" <<EOF
#!/bin/sh
exec "$deno" run --quiet --no-config --lock="$root/tools/gen.lock" --frozen \\
	--allow-env --allow-read --allow-sys $plugin
EOF
chmod +x "$tmp/protoc-gen-es"

(cd "$root" && find proto -name '*.proto' | LC_ALL=C sort | xargs \
	protoc --proto_path=proto --plugin="$tmp/protoc-gen-es" --es_out="$tmp/gen" \
	--es_opt=target=ts,import_extension=ts)

if [ "${1:-}" = "--check" ]; then
	diff -r "$tmp/gen" "$out" >/dev/null 2>&1 || {
		echo "src/rpc/gen/ is stale: run tools/gen.sh and commit what it writes" >&2
		exit 1
	}
	exit 0
fi

rm -rf "$out"
mkdir -p "$(dirname "$out")"
cp -R "$tmp/gen" "$out"
