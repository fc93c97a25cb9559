#!/bin/bash
# `wirespool filter`: what it keeps and writes is what tcpdump does, where they mean the same; and of
# each packet it says how much is kept, by which rule, and why.
#
# WIRESPOOL names the program; wirespool-filter is found in the build tree.
set -uo pipefail
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "$0")" && pwd)
wirespool=${WIRESPOOL:?names the wirespool program}
for tool in tcpdump editcap jq /usr/bin/python3; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
/usr/bin/python3 -c 'import scapy' 2>/dev/null || { echo "skipped: no scapy"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

claim() { # claim TEXT COMMAND...: the command must succeed
	local text=$1
	shift
	if "$@" >said 2>&1; then
		echo "ok   $text"
	else
		echo "FAIL $text"
		sed 's/^/     /' said out err
		failed=$((failed + 1))
	fi
}

run() { # run OPTION...: sets code, and leaves stdout in out and stderr in err
	timeout 60 "$wirespool" filter "$@" >out 2>err </dev/null
	code=$?
}

is() { [ "$1" = "$2" ] || { printf 'got:\n%s\nnot:\n%s\n' "$1" "$2" && false; }; }
said() { grep -qxF -- "$1" err || { echo "not said: $1" && false; }; }

"$here/filter.py" . || exit 1
editcap -F pcapng plain.pcap plain.pcapng
editcap -F nsecpcap -t 0.000000123 plain.pcap plain_ns.pcap

# -- Kept: as tcpdump --

as_tcpdump() { # as_tcpdump FILE EXPRESSION: the packets written, and the lines, are tcpdump's
	tcpdump -r "$1" --time-stamp-precision=nano -w expected "$2" 2>/dev/null &&
		run -f "$2" -w - "$1" && cmp out expected &&
		run -f "$2" "$1" && is "$code" 0 &&
		is "$(awk '$2 == "kept" { print $3, $5 }' out)" "$("$here/pcap_lengths.py" expected)"
}
while read -r expression; do
	claim "plain.pcap: '$expression' keeps what tcpdump keeps" as_tcpdump plain.pcap "$expression"
done <<-'END'
	udp port 53
	tcp port 80
	not port 53
	host 10.1.0.3 and tcp[tcpflags] & tcp-syn != 0
	src net 192.168.0.0/16
	ip6
	ip6 and tcp dst port 443
	arp or icmp
	ether src 02:00:00:00:00:01 and less 100
	greater 2049
	ether[3000] = 208
	portrange 2000-2010
	ip[8] < 20 and not udp
	dst port 5000 or dst port 60000
END
claim "raw.pcap, of another link type" as_tcpdump raw.pcap "udp port 53 or ip6 proto 6"
claim "plain.pcapng" as_tcpdump plain.pcapng "udp port 53"
claim "plain_ns.pcap: no nanosecond is lost" as_tcpdump plain_ns.pcap "udp port 53"

from_stdin() {
	"$wirespool" filter -f arp -w - - <plain.pcap >out 2>err && tcpdump -nr out >lines && is "$(wc -l <lines)" 3
}
claim "- is stdin" from_stdin

# -- Why: every word of it --

# The columns: number, what becomes of it, bytes stored, bytes there; then why. One blank between.
lines() { tr -s ' ' <out | sed 's/^ //'; }
explains() { # explains OPTION...: the lines of odd.pcap are those on stdin; the rest is there, too
	local expected
	expected=$(cat)
	run "$@" odd.pcap
	is "$code" 0 && is "$(lines)" "$expected"
}

claim "an expression; later fragments that could match are kept" explains -f 'udp port 53' <<-'END'
	1 kept 66 of 66 the expression matches
	2 kept 74 of 74 a later fragment that could match
	3 kept 74 of 74 a later fragment that could match
	4 dropped 0 of 66 the expression does not match
	5 kept 74 of 74 a later fragment that could match
	6 dropped 0 of 164 the expression does not match
	7 dropped 0 of 86 the expression does not match
	8 dropped 0 of 42 the expression does not match
	9 dropped 0 of 154 the expression does not match
	10 dropped 0 of 154 the expression does not match
	11 dropped 0 of 158 the expression does not match
END
claim "its sums" is "$(cat err)" "$(cat <<-'END'
	packets: 11
	kept: 4, 0 of them cut
	dropped: 7
	  the expression does not match: 7
	bytes: 288 of 1,112
END
)"

claim "--fragments follow" explains -f 'udp port 53' --fragments follow <<-'END'
	1 kept 66 of 66 the expression matches
	2 kept 74 of 74 as the first fragment of its datagram
	3 kept 74 of 74 a later fragment that could match
	4 dropped 0 of 66 the expression does not match
	5 dropped 0 of 74 as the first fragment of its datagram
	6 dropped 0 of 164 the expression does not match
	7 dropped 0 of 86 the expression does not match
	8 dropped 0 of 42 the expression does not match
	9 dropped 0 of 154 the expression does not match
	10 dropped 0 of 154 the expression does not match
	11 dropped 0 of 158 the expression does not match
END
claim "its sums: one without its first fragment" said "  later fragments without their first one: 1"
claim "its sums: one dropped with its first fragment" said "  as the first fragment of its datagram: 1"

literal() {
	run -f 'udp port 53' --fragments literal odd.pcap
	is "$(awk '$2 == "kept" { print $1 }' out)" 1
}
claim "--fragments literal keeps the first one alone" literal

kept_by() { # kept_by NUMBERS OPTION...
	run "${@:2}" odd.pcap
	is "$(awk '$2 != "dropped" { print $1 }' out | xargs)" "$1"
}
claim "behind a VLAN tag" kept_by "9 10 11" -f 'tcp port 22'
claim "--vlan any is that" kept_by "9 10 11" -f 'tcp port 22' --vlan any
claim "--vlan strict is not" kept_by "9 10" -f 'tcp port 22' --vlan strict
claim "without a filter all" kept_by "1 2 3 4 5 6 7 8 9 10 11"
claim "and it is said" grep -qx ' *8  kept  *42 of  *42  every packet is kept' out

inner() {
	run -f 'tcp port 443 or udp port 67' --inner "$1" odd.pcap
	is "$(lines | sed -n '6,7p')" "$2"
}
claim "--inner: which tunnels, one in the other" inner vxlan,gre,gtp-u,geneve,ipip \
	"6 kept 164 of 164 the expression matches; inside of VXLAN
7 kept 86 of 86 the expression matches; inside of GRE, IP in IP"
claim "--inner vxlan looks into no other" inner vxlan \
	"6 kept 164 of 164 the expression matches; inside of VXLAN
7 dropped 0 of 86 the expression does not match"

cat >rules <<-'END'
	# a comment
	cut=headers  tcp any any any 22
	keep tcp any any any 443 either way # web

	drop udp any any any any
	keep any 10.1.0.3 any any any
	keep tcp any any any 9
END
# A later fragment of UDP may be one of VXLAN, and what is inside could be kept.
claim "rules, each with its line and text" explains --rules rules --inner vxlan <<-'END'
	1 dropped 0 of 66 rules:5: drop udp any any any any
	2 kept 74 of 74 a later fragment that could match
	3 kept 74 of 74 a later fragment that could match
	4 dropped 0 of 66 rules:5: drop udp any any any any
	5 kept 74 of 74 a later fragment that could match
	6 kept 164 of 164 rules:3: keep tcp any any any 443 either way; inside of VXLAN
	7 kept 86 of 86 rules:6: keep any 10.1.0.3 any any any
	8 dropped 0 of 42 no rule matches
	9 cut 54 of 154 rules:2: cut=headers tcp any any any 22
	10 cut 54 of 154 rules:2: cut=headers tcp any any any 22
	11 cut 58 of 158 rules:2: cut=headers tcp any any any 22
END
claim "the sums count by rule, those that matched" is "$(cat err)" "$(cat <<-'END'
	packets: 11
	kept: 8, 3 of them cut
	dropped: 3
	  by a rule: 2
	  no rule matches: 1
	bytes: 638 of 1,112
	rules:2: 3: cut=headers  tcp any any any 22
	rules:3: 1: keep tcp any any any 443 either way
	rules:5: 2: drop udp any any any any
	rules:6: 1: keep any 10.1.0.3 any any any
END
)"

both() {
	run -f 'dst port 22 or arp' --rules rules odd.pcap
	is "$(lines | sed -n '7,9p')" "7 dropped 0 of 86 the expression does not match
8 dropped 0 of 42 no rule matches
9 cut 54 of 154 rules:2: cut=headers tcp any any any 22"
}
claim "an expression and rules: what both keep" both

cutoff() { # cutoff AFTER LINES: of the flow's three packets
	run -f 'tcp port 22' --cutoff 100B ${1:+--after "$1"} odd.pcap
	is "$(lines | sed -n '9,11p')" "$2"
}
headers="9 kept 154 of 154 the expression matches
10 cut 54 of 154 behind its flow's cutoff
11 cut 58 of 158 behind its flow's cutoff"
claim "--cutoff: headers only behind it" cutoff "" "$headers"
claim "--after headers is that" cutoff headers "$headers"
claim "--after drop" cutoff drop "9 kept 154 of 154 the expression matches
10 dropped 0 of 154 behind its flow's cutoff
11 dropped 0 of 158 behind its flow's cutoff"
claim "its sums" said "  behind its flow's cutoff: 2"
by_rule() {
	run --rules rules --cutoff 100B odd.pcap
	is "$(lines | sed -n 10p)" "10 cut 54 of 154 behind its flow's cutoff; rules:2: cut=headers tcp any any any 22"
}
claim "a rule and the cutoff" by_rule

# -- Cuts --

cut_to() { # cut_to SNAPLEN LINES: of packets 8 and 9
	run -s "$1" odd.pcap
	is "$(lines | sed -n '8,9p')" "$2"
}
claim "-s 60" cut_to 60 "8 kept 42 of 42 every packet is kept
9 cut 60 of 154 every packet is kept; cut by --snaplen"
claim "-s headers+4" cut_to headers+4 "8 kept 42 of 42 every packet is kept
9 cut 58 of 154 every packet is kept; cut by --snaplen"
shortest() {
	run --rules rules -s 54 odd.pcap
	is "$(lines | sed -n '10,11p')" "10 cut 54 of 154 rules:2: cut=headers tcp any any any 22
11 cut 54 of 158 rules:2: cut=headers tcp any any any 22; cut by --snaplen"
}
claim "of two cuts the shorter" shortest
written() {
	run --rules rules -s 56 -w kept.pcap odd.pcap
	is "$("$here/pcap_lengths.py" kept.pcap)" "$(awk '$2 != "dropped" { print $3, $5 }' out)" &&
		is "$("$here/pcap_lengths.py" kept.pcap | xargs)" "56 86 54 154 54 154 56 158"
}
claim "-w writes them as they are cut, with their original lengths" written
again() {
	run -w twice.pcap kept.pcap
	is "$code" 0 && cmp twice.pcap kept.pcap && is "$(awk '{ print $2, $3, $5 }' out | xargs -n3 | uniq -c | xargs)" \
		"1 kept 56 56 2 kept 54 54 1 kept 56 56"
}
claim "a capture that was cut already: its lengths stay" again

# -- The program --

dumps() { # dumps EXPRESSION: tcpdump's own, with and without a file
	run -f "$1" --dump
	is "$code" 0 && is "$(cat out)" "$(tcpdump -d "$1" 2>/dev/null)" && run -f "$1" --dump raw.pcap &&
		is "$(cat out)" "$(tcpdump -y RAW -d "$1" 2>/dev/null)"
}
for expression in "udp port 53" "ip6 and not tcp portrange 1-1023" "net 10.0.0.0/8 and len > 100"; do
	claim "--dump '$expression' is tcpdump -d" dumps "$expression"
done

means() { # means SENTENCE OPTION...
	run "${@:2}" --dump
	is "$code" 0 && said "$1"
}
claim "it looks behind tags" means "behind VLAN tags: matches" -f tcp
claim "or not, as the expression speaks of them" means "behind VLAN tags: as to tcpdump" -f 'vlan and tcp'
claim "or not, as it is told" means "behind VLAN tags: as to tcpdump" -f tcp --vlan strict
claim "behind labels" means "behind MPLS and PPPoE: matches" -f tcp
claim "or not" means "behind MPLS and PPPoE: as to tcpdump" -f 'mpls and tcp'
claim "of fragments" means "later fragments: kept if they could match" -f 'port 53'
claim "of fragments, follow" means "later fragments: as their first one" -f 'port 53' --fragments follow
claim "of fragments, literal" means "later fragments: as to tcpdump" -f 'port 53' --fragments literal
claim "of fragments, IPv4's spoken of" means "later fragments: of IPv6, kept if they could match" \
	-f 'ip[6:2] & 0x1fff != 0'
claim "rules: how many, in how many parts" means "rules: 5 of rules, in 1 part for IPv4, 1 for IPv6" \
	--rules rules
claim "no expression: no engine, no program" means "engine: none" --rules rules
claim "nothing on stdout then" is "$(cat out)" ""

# -- For programs --

json_says_the_same() { # json_says_the_same OPTION...
	local columns sums
	run "$@" odd.pcap
	columns=$(lines | cut -d ' ' -f 1-5)
	sums=$(head -n 1 err && grep -E '^(kept|dropped|bytes): ' err)
	run "$@" --json odd.pcap
	is "$code" 0 && is "$(cat err)" "" && is "$columns" "$(jq -r 'select(.packet) |
		"\(.packet) \(.verdict) \(.stored_bytes) of \(.captured_bytes)"' out)" &&
		is "$(tr -d , <<<"$sums")" "$(tail -n 1 out | jq -r '"packets: \(.pkts)",
		"kept: \(.kept_pkts) \(.cut_pkts) of them cut", "dropped: \(.dropped_pkts)",
		"bytes: \(.stored_bytes) of \(.captured_bytes)"')"
}
claim "--json says what the lines and the sums say" \
	json_says_the_same -f ip --rules rules --inner vxlan --fragments follow -s 60
claim "--json, with a cutoff" json_says_the_same --cutoff 100 --after drop
json_is() { # json_is FILTER OPTION...: of packets, why, and of the sums
	run "${@:2}" --json odd.pcap
	is "$(jq -sc "$1" out)" "$(cat)"
}
claim "--json says why" json_is '.[0,1,3] | [.why, .rule, .inside_of, .cut_by_snaplen]' -f 'udp port 53' -s 60 <<-'END'
	["expression",null,[],true]
	["could_match",null,[],true]
	["expression",null,[],false]
END
claim "--json has rules, and tunnels" json_is '.[:-1][] | select(.inside_of != []) | [.why, .rule.line, .inside_of]' \
	--rules rules --inner vxlan,gre,ipip <<-'END'
	["rule",3,["VXLAN"]]
END
claim "--json with --write to a file" json_says_the_same -f ip -w written

# -- How fast: that there are figures, not which --

measures() { # measures KEPT OPTION...
	run "${@:2}" --bench plain.pcap
	is "$code" 0 && is "$(awk '$1 == "packets" { print $2 } $1 == "kept" { print $2 }' out | xargs)" "247, $1" &&
		awk '$1 == "rate" && $2 > 0 { rate = 1 } $1 == "per" && $3 > 0 { per = 1 }
			END { exit !(rate && per) }' out
}
claim "--bench with an expression" measures 16.2 -f icmp
claim "--bench with all there is" measures 16.2 -f ip --rules rules --cutoff 1MiB --fragments follow
claim "--bench names the engine" grep -qE '^engine +(jit|interpreter)$' out
claim "--bench without a filter" measures 100.0
measures_json() {
	run -f icmp --bench --json plain.pcap
	is "$code" 0 && jq -es 'length == 1 and (.[0] | .pkts == 247 and .kept_pkts == 40 and .ns_per_pkt > 0 and
		.ns_per_pkt_min <= .ns_per_pkt and .ns_per_pkt <= .ns_per_pkt_max and .pkts_per_s > 0)' out
}
claim "--bench --json" measures_json

# -- What is wrong --

fails() { # fails CODE PATTERN OPTION...: nothing on stdout, and a line on stderr that fits
	run "${@:3}"
	is "$code" "$1" && is "$(head -c 100 out)" "" && grep -qE -- "$2" err
}
claim "a wrong expression, in libpcap's words" fails 2 \
	"^error: filter 'foo bar': can't parse filter expression: syntax error" -f 'foo bar' odd.pcap
claim "one that matches nothing" fails 2 "expression rejects all packets" -f 'tcp and udp' odd.pcap
echo 'keep tcp any any 10.0.0.1/8 any' >bad
claim "wrong rules, with file and line" fails 2 '^error: bad:1: ' --rules bad odd.pcap
claim "no file of rules" fails 1 "^error: .*'?none'?.*No such file" --rules none odd.pcap
claim "no file" fails 1 "^error: cannot open 'none': No such file" none
claim "no capture file" fails 1 "^error: cannot read 'rules': unknown file format" rules
claim "no packets to measure with" fails 1 "^error: 'none.pcap' has no packets" --bench none.pcap
wrong() { # wrong SENTENCE OPTION...
	fails 2 "^wirespool filter: $1; see 'wirespool filter --help'\$" "${@:2}" odd.pcap
}
claim "--vlan" wrong "--vlan: must be one of any, strict, got 'x'" --vlan x
claim "--fragments" wrong "--fragments: must be one of keep, follow, literal, got ''" --fragments ''
claim "--inner" wrong "--inner: must be one of vxlan, gre, gtp-u, geneve, ipip, got 'udp'" --inner gre,udp
claim "--after" wrong "--after: must be one of headers, drop, got 'x'" --cutoff 1 --after x
claim "--cutoff 0" wrong "--cutoff: '0' must be more than 0 and less than 4GiB" --cutoff 0
claim "--cutoff 4GiB" wrong "--cutoff: '4GiB' must be more than 0 and less than 4GiB" --cutoff 4GiB
claim "--cutoff x" wrong '--cutoff: "x" is not a size.*' --cutoff x
claim "-s 13" wrong "--snaplen: '13' must be 0 \(whole packets\) or 14 to 262144" -s 13
claim "--json --dump" wrong "--json has no place on stdout beside the program of --dump" --json --dump
claim "--json -w -" wrong "--json has no place on stdout beside the packets of --write -" --json -w -
claim "-s x" wrong "--snaplen: snaplen must be .*" -s x

torn() {
	run torn.pcap
	is "$code" 1 && is "$(wc -l <out)" 10 && said "packets: 10" &&
		grep -q "^error: 'torn.pcap': truncated dump file.*; the 10 packets before it are good" err
}
claim "a torn file: what is whole is told, then the fault" torn

full() { # full OPTION...: a disk that is full is a failure, and said
	timeout 60 "$wirespool" filter "$@" plain.pcap >/dev/full 2>err
	is "$?" 1 && grep -q 'No space left on device' err
}
fails_to_write() {
	run -w /dev/full plain.pcap
	is "$code" 1 && said "error: cannot write '/dev/full': No space left on device"
}
: >out
claim "stdout is full" full
claim "stdout is full of packets" full -w -
claim "the file to write is full" fails_to_write

[ "$failed" -eq 0 ]
