#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the test programs given, each to its end, shows their output in the order given and adds up their last lines. Twice as
# many as there are processors run side by side: those that take longest wait for interfaces and timers, not for a processor.
#   tests/run.sh PROGRAM...
#   JOBS=1 tests/run.sh PROGRAM...    one after the other
# "without-cache:PROGRAM" is a test of the engine that is run without its cache of flows.
set -u

if [ -n "${PSP_TEST_LOGS:-}" ]; then
	name=$(echo "$1" | tr / _)
	program=${1#without-cache:}
	[ "$program" = "$1" ] || export PSP_TEST_WITHOUT_CACHE=1
	"$program" >"$PSP_TEST_LOGS/$name.log" 2>&1 </dev/null
	echo $? >"$PSP_TEST_LOGS/$name.status"
	exit 0
fi

PSP_TEST_LOGS=$(mktemp -d)
export PSP_TEST_LOGS
trap 'rm -rf "$PSP_TEST_LOGS"' EXIT
trap 'exit 130' HUP INT TERM
printf '%s\n' "$@" | xargs -P "${JOBS:-$((2 * $(nproc)))}" -n 1 "$0"

passed=0 failed=0
for program in "$@"; do
	log=$PSP_TEST_LOGS/$(echo "$program" | tr / _)
	echo "# ${program#../}"
	cat "$log.log"
	status=$(cat "$log.status" || echo none)
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log.log" | tail -n 1)
	counts=${counts:-0 0}
	passed=$((passed + ${counts%% *}))
	failed=$((failed + ${counts##* }))
	# It fell over (a sanitizer, a signal): that counts even if no test had failed.
	if [ "$status" != 0 ] && [ "${counts##* }" -eq 0 ]; then
		echo "not ok $program: exit status $status"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
