#!/usr/bin/env bash
# wirespool(1) and --help have the same commands and options, and the page is clean mdoc.
. "$(dirname "$0")/lib.sh"
page=$here/../../docs/wirespool.1

# The options of one command's section: ".It Fl s , Fl -snaplen Ar LENGTH" as "-s --snaplen LENGTH"
page_options()
{
	awk -v section="$1" '
		/^\.S[sh] / { inside = ($0 == section) }
		inside && /^\.It Fl/ {
			gsub(/^\.It | ,|Ar /, ""); gsub(/Fl -/, "--"); gsub(/Fl /, "-"); print
		}' "$page" | sort
}

help_options()
{
	sed -nE 's/^ {2}(-., --[a-z-]+( [^ ]+)?).*/\1/p; s/^ {6}(--[a-z-]+( [^ ]+)?).*/\1/p' <<<"$out" |
		sed 's/^\(-.\),/\1/' | sort
}

claim "global options"
run --help
expect_equal "$(page_options ".Sh GLOBAL OPTIONS")" "$(help_options)"
commands=$(sed -n '/^commands:/,/^$/ s/^  \([a-z]*\) .*/\1/p' <<<"$out")

claim "the page has a section for each command, in the same order"
expect_equal "$(sed -n 's/^\.Ss //p' "$page")" "$commands"

claim "the page has every option that --help shows, and no other"
while read -r command; do
	run "$command" --help
	[ -n "$(help_options)" ] || complain "no options in the help of '$command'"
	expect_equal "$(page_options ".Ss $command")" "$(help_options)"
done < <(grep -v help <<<"$commands")

claim "mandoc has nothing to say against it"
if command -v mandoc >/dev/null; then
	expect_equal "$(mandoc -T lint -W warning "$page" 2>&1)" ""
fi

finish
