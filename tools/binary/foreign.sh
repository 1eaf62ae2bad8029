#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What a binary for another architecture is linked with: Debian's OpenSSL and zstd of that architecture,
# static, and its Deno. Nothing is installed: all of it lies in .toolchain/<arch>/ afterwards.
#   tools/binary/foreign.sh aarch64
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
arch=$1
[ "$arch" = aarch64 ] || {
	echo "Cannot build for \"$arch\" on $(uname -m)" >&2
	exit 1
}
debian=arm64
out=$root/.toolchain/$arch
mkdir -p "$out"
stamp=$out/stamp
now=$(cksum <"$0")-$(cksum <"$root/tools/binary/npm_file.sh")
[ "$(cat "$stamp" 2>/dev/null)" != "$now" ] || exit 0

# A package list of its own, so that this machine's own architectures stay as they are. apt checks the
# archive's signature, as always.
lists=$out/apt
mkdir -p "$lists/lists/partial" "$lists/debs"
apt() {
	apt-get -q -o APT::Architecture=$debian -o APT::Architectures=$debian \
		-o Dir::State="$lists" -o Dir::State::status=/dev/null -o Dir::Cache="$lists" \
		-o Debug::NoLocking=true -o APT::Sandbox::User=root "$@"
}
echo "Fetching OpenSSL and zstd for $arch" >&2
(
	apt update && cd "$lists/debs" && rm -f ./*.deb && apt download libssl-dev libzstd-dev
) >"$out/apt.log" 2>&1 </dev/null || {
	tail -n 5 "$out/apt.log" >&2
	echo "Cannot build for $arch: Debian's packages cannot be fetched" >&2
	exit 1
}
rm -rf "$out/tree" "$out/include" "$out/lib"
mkdir -p "$out/tree" "$out/lib"
for deb in "$lists"/debs/*.deb; do
	dpkg-deb --extract "$deb" "$out/tree"
	basename "$deb" >>"$out/tree/packages"
done
mv "$out/tree/usr/include" "$out/include"
cp -R "$out/include/$arch-linux-gnu/." "$out/include/"
cp "$out/tree/usr/lib/$arch-linux-gnu"/libcrypto.a "$out/tree/usr/lib/$arch-linux-gnu"/libzstd.a "$out/lib"
mv "$out/tree/packages" "$out/packages"
rm -rf "$out/tree" "$lists"
deno=$("$root/tools/binary/npm_file.sh" @deno/linux-arm64-glibc@2.9.5 deno)
chmod 0755 "$deno"
ln -sfn "$deno" "$out/deno"
sed 's/^/  /' "$out/packages" >&2
echo "$now" >"$stamp"
