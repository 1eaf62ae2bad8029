#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command while nothing runs in this tree that would spoil it: benches alone, what is heavy side by side.
#   tools/lock.sh exclusive|shared COMMAND...
# The command becomes this process and keeps the lock as descriptor 9, and so does what it starts: a bench whose
# namespaces are still being removed is not over. Whatever runs under the lock may call make again: a lock that is held
# already is not taken twice.
set -eu

cd "$(dirname "$0")/.."
mode=$1
shift
case ${PSP_MACHINE_LOCK:-}-$mode in
-exclusive | -shared) ;;
shared-exclusive)
	echo "Cannot bench: a target that shares the machine is what called" >&2
	exit 2
	;;
exclusive-* | shared-shared) exec "$@" ;;
*)
	echo "usage: tools/lock.sh exclusive|shared COMMAND..." >&2
	exit 2
	;;
esac
# Without util-linux nobody takes turns.
command -v flock >/dev/null || exec "$@"
mkdir -p .toolchain
exec 9>>.toolchain/machine.lock
flock --nonblock "--$mode" 9 || {
	echo "Waiting for $([ "$mode" = shared ] && echo "a bench" || echo "tests or another bench") in this tree" >&2
	flock "--$mode" 9
}
PSP_MACHINE_LOCK=$mode
export PSP_MACHINE_LOCK
exec "$@"
