#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the test programs given, each to its end, and adds up their last lines.

passed=0 failed=0
for program in "$@"; do
	echo "# ${program#../}"
	output=$("$program" 2>&1)
	status=$?
	echo "$output"
	counts=$(echo "$output" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' | tail -n 1)
	counts=${counts:-0 0}
	passed=$((passed + ${counts%% *}))
	failed=$((failed + ${counts##* }))
	# It fell over (a sanitizer, a signal): that counts even if no test had failed.
	if [ "$status" -ne 0 ] && [ "${counts##* }" -eq 0 ]; then
		echo "not ok $program: exit status $status"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
