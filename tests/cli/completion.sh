#!/usr/bin/env bash
# The completion offers just the commands and options that --help has.
. "$(dirname "$0")/lib.sh"
# shellcheck source=/dev/null
. "$here/../../cli/wirespool.bash-completion"
# shellcheck disable=SC2317 # the completion calls it
compopt()
{
	:
}

# offers WORD...: what is offered for the last word, sorted
offers()
{
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_wirespool
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

claim "the commands are those of help"
run help
commands=$(sed -n '/^commands:/,/^$/ s/^  \([a-z]*\) .*/\1/p' <<<"$out")
expect_equal "$(offers wirespool "")" "$(sort <<<"$commands")"
expect_equal "$(offers wirespool rec)" "record
recover"

claim "the options of each command are those of its --help"
# shellcheck disable=SC2013 # commands are words
for command in "" $(grep -v help <<<"$commands"); do
	run ${command:+"$command"} --help
	options=$(grep -Eo '^ +(-., )?--[a-z-]+' <<<"$out" | grep -Eo -e '--[a-z-]+' | sort)
	[ -n "$options" ] || complain "no options in the help of '$command'"
	expect_equal "$(offers wirespool ${command:+"$command"} --)" "$options"
done

claim "set has keys behind the recording, and options have their values"
expect_equal "$(offers wirespool set office v)" "vlan="
expect_equal "$(offers wirespool record --vlan "")" "any
strict"

claim "the command is found behind the global option"
expect_equal "$(offers wirespool -S /tmp/s verify --)" "--help
--json"

finish
