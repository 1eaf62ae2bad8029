#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# One file out of a package of the npm registry, by exact version and checksum; kept in
# .toolchain/downloads, so that it is fetched once.
#   tools/binary/npm_file.sh PACKAGE@VERSION FILE      prints where the file is
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
package=$1
file=$2

# Packages that some step needs and that deno.lock does not know; SHA-256 of the archive.
case $package in
# The runtime of the aarch64 binary. Not every registry has 2.9.6 for that architecture.
@deno/linux-arm64-glibc@2.9.5) want=32aa20fd0753ab4a8bd50cb78c3bae19d6fe9b39645fa98c936d666ead1c8dcc ;;
# Of these three: tests/binary/compile_test.ts, nothing else.
@deno/linux-x64-glibc@2.7.11) want=4f5ed8d62a7256c0c9930b9974d5a1bf14fa18335064a35214f2854fe2357a32 ;;
@stdy/cli-linux-x64@0.22.2) want=9f421f2809eeac41b1a70a9f85a6b408153956cc7797f51d5383f0233f1b5cbe ;;
@stdy/cli-linux-arm64@0.22.2) want=1a33f7a0c3f26bf7ecde3c9be53e392b3656a4d9d935bdbd0348470ffd7224d6 ;;
*)
	echo "Cannot fetch \"$package\": its checksum is not pinned" >&2
	exit 1
	;;
esac

name=$(echo "$package" | tr -d @ | tr / -)
dir=$root/.toolchain/downloads/$name
[ -e "$dir/package/$file" ] || {
	mkdir -p "$dir.new"
	(cd "$dir.new" && npm pack --silent "$package" >/dev/null 2>npm.log) || {
		tail -n 3 "$dir.new/npm.log" >&2
		rm -rf "$dir.new"
		echo "Cannot fetch \"$package\": the registry does not give it" >&2
		exit 1
	}
	archive=$(echo "$dir.new"/*.tgz)
	[ "$(sha256sum "$archive" | cut -d " " -f 1)" = "$want" ] || {
		rm -rf "$dir.new"
		echo "Cannot use \"$package\": it is not the pinned one; it was removed" >&2
		exit 1
	}
	tar -xzf "$archive" -C "$dir.new"
	rm -f "$archive"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}
[ -e "$dir/package/$file" ] || {
	echo "Cannot find \"$file\" in \"$package\"" >&2
	exit 1
}
echo "$dir/package/$file"
