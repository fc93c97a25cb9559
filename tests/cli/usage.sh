#!/usr/bin/env bash
# What a wrong command line gets: one precise line on stderr, nothing on stdout, exit code 2.
. "$(dirname "$0")/lib.sh"

wrong()
{
	local expected=$1
	shift
	claim "wrong usage: $*"
	run "$@"
	expect_code 2
	expect_out ""
	expect_err "$expected"
}

wrong "wirespool: no command given; see 'wirespool --help'"
wrong "wirespool: unknown command 'recrod'; see 'wirespool --help'" recrod
wrong "wirespool: unknown or ambiguous option '--frobnicate'; see 'wirespool --help'" --frobnicate
wrong "wirespool: unknown command 'nothing'; see 'wirespool --help'" help nothing
wrong "wirespool status: unknown option '-q'; see 'wirespool status --help'" status -q
wrong "wirespool status: option '--json' takes no argument, got '--json=1'; see 'wirespool status --help'" \
	status --json=1
wrong "wirespool record: option '--for' needs an argument, TIME; see 'wirespool record --help'" \
	record eth0 --for
wrong "wirespool record: option '--filter' needs an argument, EXPR; see 'wirespool record --help'" \
	record eth0 -f
wrong "wirespool record: needs a DEVICE: eth0, a PCI address, pcap:FILE, gen:...; see 'wirespool record --help'" \
	record
wrong "wirespool record: --on-clock says how --every cuts; give --every TIME; see 'wirespool record --help'" \
	record --on-clock eth0
wrong "wirespool record: --after says what is behind --cutoff; give --cutoff SIZE; see 'wirespool record --help'" \
	record --after drop eth0
wrong "wirespool record: option '--vlan' needs an argument, any|strict; see 'wirespool record --help'" \
	record eth0 --vlan
wrong "wirespool record: --rules: must not be empty; see 'wirespool record --help'" \
	record --rules "" eth0
wrong "wirespool record: --name: must not be empty; see 'wirespool record --help'" \
	record --name "" eth0
for list in "" x "1," "1,,2" 3-1 -1 99999 1-; do
	wrong "wirespool record: --cpus: '$list' is not a list of CPUs: numbers up to 4095 and ranges, \"2,4-6\"; see 'wirespool record --help'" \
		record --cpus="$list" eth0
done
wrong "wirespool trigger: needs a RECORDING of the settings, or --port NAME; see 'wirespool trigger --help'" \
	trigger
wrong "wirespool trigger: takes a RECORDING or --port, not both; got 'office'; see 'wirespool trigger --help'" \
	trigger --port left office
wrong "wirespool trigger: 'office' has its own filter in the settings; of the options only --for goes with a RECORDING; see 'wirespool trigger --help'" \
	trigger -f tcp office
wrong "wirespool trigger: takes one RECORDING, got also 'b'; see 'wirespool trigger --help'" \
	trigger a b
known="filter, snaplen, rules, vlan, inner, fragments, cutoff, after"
wrong "wirespool set: needs a RECORDING and at least one KEY=VALUE; see 'wirespool set --help'" set
wrong "wirespool set: needs a RECORDING and at least one KEY=VALUE; see 'wirespool set --help'" \
	set office
wrong "wirespool set: 'filter' is not KEY=VALUE; KEY is one of $known; see 'wirespool set --help'" \
	set office filter
wrong "wirespool set: unknown key 'stripes'; there are $known; see 'wirespool set --help'" \
	set office filter=tcp stripes=/data0
wrong "wirespool set: unknown key ''; there are $known; see 'wirespool set --help'" set office =tcp
wrong "wirespool set: 'vlan' is there twice; see 'wirespool set --help'" \
	set office vlan=any vlan=
wrong "wirespool stop: needs one RUN or RECORDING, got 0; see 'wirespool stop --help'" stop
wrong "wirespool reload: takes no operands, got 'now'; see 'wirespool reload --help'" reload now
wrong "wirespool verify: needs a PATH: a file, or a directory of files; see 'wirespool verify --help'" \
	verify
wrong "wirespool filter: needs a FILE: pcap or pcapng, or - for stdin; see 'wirespool filter --help'" \
	filter -f tcp
wrong "wirespool filter: takes one FILE, got also 'b'; see 'wirespool filter --help'" filter a b
wrong "wirespool filter: unknown option '-q'; see 'wirespool filter --help'" filter -q a
wrong "wirespool filter: option '--rules' needs an argument, FILE; see 'wirespool filter --help'" \
	filter a --rules
wrong "wirespool filter: --after says what follows --cutoff; give --cutoff SIZE; see 'wirespool filter --help'" \
	filter --after drop a
for two in "--bench --dump" "-w x --dump" "--bench --write=x"; do
	# shellcheck disable=SC2086 # two options
	wrong "wirespool filter: takes one of --write, --dump and --bench; see 'wirespool filter --help'" \
		filter $two a
done

claim "limits that mean nothing are refused, with the option's name"
for option in --for=0 --for=5 --for=x --packets=0 --packets=-1 --packets=1k --bytes=0 --bytes=5x \
	--rotate=0 --every=0s --cutoff=0 --cutoff=20x; do
	run record "$option" eth0
	expect_code 2
	expect_out ""
	expect_err_like "^wirespool record: ${option%%=*}: .*see 'wirespool record --help'\$"
	expect_equal "$(wc -l <"$tmp/err")" 1
done
for next in 0 x 10001; do
	run schedule --next "$next"
	expect_code 2
	expect_err_like "^wirespool schedule: --next: "
done

claim "a file name that is not UTF-8 is refused and not sent"
run record $'caf\xe9'
expect_code 2
expect_err_like "is not UTF-8 text"
for change in $'filter=caf\xe9' $'rules=caf\xe9' $'inner=gre,caf\xe9'; do
	run set office "$change"
	expect_code 2
	expect_err_like "is not UTF-8 text"
done

claim "--version is the version on stdout"
run --version
expect_code 0
expect_out_like '^wirespool [0-9]+\.[0-9]+\.[0-9]+$'
expect_err ""

claim "help, --help and -h are the same, and name every command"
run help
help=$out
expect_code 0
expect_err ""
for option in --help -h; do
	run "$option"
	expect_code 0
	expect_out "$help"
done
for command in record status trigger set stop schedule check reload list verify recover filter bench help; do
	expect_out_like "^  $command +[a-z]"
done

claim "each command has help on stdout, also by 'help COMMAND'"
for command in record status trigger set stop schedule check reload list verify recover filter bench; do
	run "$command" --help
	expect_code 0
	expect_err ""
	expect_out_like "^usage: wirespool $command "
	one=$out
	run help "$command"
	expect_out "$one"
done

claim "what stdout did not take is a failure"
"$wirespool" --help >/dev/full 2>"$tmp/err"
code=$? out="" err=$(cat "$tmp/err")
expect_code 1
expect_err "error: cannot write to stdout: No space left on device"

finish
