#!/usr/bin/env bash
# filter: another program does its work, is found where it is installed, and gets all that was said.
. "$(dirname "$0")/lib.sh"

fake()
{
	mkdir -p "$1"
	cat >"$1/wirespool-filter" <<-END
		#!/bin/sh
		printf '%s|' "$1" "\$@"
		exit 3
	END
	chmod +x "$1/wirespool-filter"
}

claim "without a wirespool-filter to run, it says where it looked"
PATH=/nowhere run filter file
expect_code 1
expect_out ""
expect_err "error: cannot find the program wirespool-filter: not in '$tmp/bin', not in ../control, ../filter, ../sbin or ../libexec/wirespool from there, not on PATH"

claim "it is found on PATH, in libexec/wirespool/, in the build tree's filter/, and beside it"
for folder in path libexec/wirespool filter bin; do
	fake "$tmp/$folder"
	PATH=/nowhere:$tmp/path:$PATH run filter file
	expect_code 3
	expect_err ""
	expect_equal "$(realpath "${out%%|*}")" "$tmp/$folder"
done

claim "it gets the options and the file, whatever they are"
run filter file -f 'udp port 53' --rules=r --vlan any --fragments keep --inner gre,ipip --cutoff 1MiB \
	--after drop -s headers+4 -w -
expect_code 3
expect_out "$tmp/bin|-f|udp port 53|--rules=r|--vlan|any|--fragments|keep|--inner|gre,ipip|--cutoff|1MiB|--after|drop|-s|headers+4|-w|-|file|"

claim "--dump needs no file"
run filter --dump
expect_code 3
expect_out "$tmp/bin|--dump|"

finish
