#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the make targets need: Deno into .toolchain/, the npm packages of deno.lock into
# .toolchain/cache/, Debian packages with apt. Does nothing, quickly, when all is there.
#   tools/deps.sh [deno|npm|GROUP]...     groups: the first column of debian-packages.txt
# Without a name: all of them but bench, which no test needs.
# Needs root for Debian packages only; without root it names what is missing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
toolchain=$root/.toolchain
DENO_VERSION=2.9.6
DENO_SHA256_X64=bceb5b6a6239b0b010418406d8c77a508f67cf4337d94288f1c19fe71304aab0
deno=$toolchain/bin/deno
DENO_DIR=$toolchain/cache
DENO_TLS_CA_STORE=${DENO_TLS_CA_STORE:-mozilla,system}
DENO_NO_UPDATE_CHECK=1
export DENO_DIR DENO_TLS_CA_STORE DENO_NO_UPDATE_CHECK

fail() {
	echo "Cannot install what is needed: $*" >&2
	exit 1
}

# One at a time: two makes in parallel wait for each other.
mkdir -p "$toolchain/bin"
if [ -z "${PSP_DEPS_LOCKED:-}" ] && command -v flock >/dev/null; then
	PSP_DEPS_LOCKED=1 exec flock "$toolchain/lock" "$0" "$@" </dev/null
fi

# There: a command on PATH, or a file (a pattern with *).
there() {
	case $1 in
	/*) for file in $1; do [ -e "$file" ] && return 0; done; return 1 ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# apt's own patience (DPkg::Lock::Timeout) is not for the lock of its lists: another update, such as that of a machine that has
# just started, is waited for here. At most ten minutes.
apt_patiently() {
	tries=300
	while ! apt-get -q -o DPkg::Lock::Timeout=600 "$@" >"$toolchain/apt.try" 2>&1; do
		cat "$toolchain/apt.try"
		tries=$((tries - 1))
		grep -q 'Could not get lock\|Unable to lock' "$toolchain/apt.try" && [ "$tries" -gt 0 ] || return 1
		[ "$tries" -ne 299 ] || echo "Waiting for another apt to end" >&3
		sleep "${PSP_APT_PAUSE:-2}"
	done
	cat "$toolchain/apt.try"
}

apt_install() {
	command -v apt-get >/dev/null || fail "this is not Debian; install these yourself: $*"
	[ "$(id -u)" = 0 ] || fail "not root; run: apt-get install --no-install-recommends $*"
	echo "Installing Debian packages: $*" >&2
	log=$toolchain/apt.log
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	{
		apt_patiently update && apt_patiently -y install --no-install-recommends "$@"
	} 3>&2 >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		fail "apt-get could not install: $*"
	}
}

debian() {
	machine=$(uname -m)
	missing=
	while read -r group package brings; do
		case " $1 " in *" $group "*) ;; *) continue ;; esac
		case $package in
		*:amd64) [ "$machine" = x86_64 ] || continue; package=${package%:amd64} ;;
		esac
		there "$brings" || missing="$missing $package"
	done <"$root/tools/debian-packages.txt"
	# Word splitting is meant.
	[ -z "$missing" ] || apt_install $missing
}

# 2.9 or later, below 3.
new_enough() {
	version=$("$1" --version 2>/dev/null | sed -n 's/^deno \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
	[ "${version% *}" = 2 ] && [ "${version#* }" -ge 9 ]
}

# The registry's own checksum is what npm checks; ours is pinned.
verify() {
	case $1 in
	*/linux-x64-glibc/deno) want=$DENO_SHA256_X64 ;;
	*) return 0 ;;
	esac
	[ "$(sha256sum "$1" | cut -d " " -f 1)" = "$want" ] || {
		rm -f "$1"
		fail "the executable of deno $DENO_VERSION is not the pinned one; it was removed"
	}
}

install_deno() {
	[ -x "$deno" ] && new_enough "$deno" && return
	found=$(command -v deno || true)
	if [ -n "$found" ] && new_enough "$found"; then
		ln -sfn "$found" "$deno"
		return
	fi
	there npm || apt_install npm ca-certificates
	echo "Installing Deno into .toolchain/" >&2
	# By exact version. The install script only prepares a wrapper that nobody here runs.
	npm install --prefix "$toolchain" --no-save --no-package-lock --ignore-scripts --no-audit \
		--no-fund --loglevel=error "deno@$DENO_VERSION" </dev/null >&2 ||
		fail "npm could not install the package deno"
	for file in "$toolchain"/node_modules/@deno/linux-*/deno; do
		[ -e "$file" ] || continue
		verify "$file"
		chmod +x "$file"
		"$file" --version >/dev/null 2>&1 || continue
		ln -sfn "../node_modules/@deno/$(basename "$(dirname "$file")")/deno" "$deno"
		return
	done
	fail "the package deno has no executable for $(uname -sm)"
}

# Again only when the lock files or Deno changed.
install_npm() {
	install_deno
	stamp=$toolchain/npm.stamp
	now=$(cat "$root/deno.lock" "$root/tools/gen.lock" | cksum)-$(readlink -f "$deno")
	[ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && [ -d "$DENO_DIR/npm" ] && return
	echo "Fetching npm packages into .toolchain/cache/" >&2
	log=$toolchain/npm.log
	{
		(cd "$root" && "$deno" install --quiet --frozen) &&
			"$deno" cache --quiet --no-config --lock="$root/tools/gen.lock" --frozen \
				npm:@bufbuild/protoc-gen-es@2.17.0
	} >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		fail "deno could not fetch the packages of deno.lock"
	}
	echo "$now" >"$stamp"
}

# The groups of the list are the names; bench is for nobody who does not name it.
known=$(sed -n 's/^\([a-z]*\) .*/\1/p' "$root/tools/debian-packages.txt" | sort -u)
[ $# -gt 0 ] || set -- deno npm $(echo "$known" | grep -vx bench)
groups=
for want in "$@"; do
	case $want in
	deno) install_deno ;;
	npm) install_npm ;;
	*)
		echo "$known" | grep -qx "$want" || fail "nothing is called \"$want\""
		groups="$groups $want"
		;;
	esac
done
[ -z "$groups" ] || debian "$groups"
