#!/usr/bin/env bash
# check hands over to the daemon's program.
. "$(dirname "$0")/lib.sh"

claim "check runs wirespoold --check with the usual file"
run check
expect_code 0
expect_out "--check -c /etc/wirespool/wirespool.conf"

claim "check passes on the file and --print, and its exit code is the daemon's"
FAKE_CHECK_EXIT=2 run check -c my.conf --print
expect_code 2
expect_out "--check -c my.conf --print"

claim "no wirespoold: said, with where it was looked for"
rm "$tmp/bin/wirespoold"
PATH=/nowhere run check
expect_code 1
expect_err_like "^error: cannot find the program wirespoold: not in '$tmp/bin'"

finish
