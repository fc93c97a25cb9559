#!/bin/bash
# Foreign capture files, replayed: every frame comes out byte for byte, with both its lengths and
# the link type; and where a file cannot be had whole, that is said.
#
# Needs tshark's editcap and tcpdump. WIRESPOOL names the program; wirespoold is found beside it.
set -uo pipefail
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "$0")" && pwd)
wirespool=${WIRESPOOL:?names the wirespool program}
for tool in tcpdump tshark capinfos editcap jq /usr/bin/python3; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: not root"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

claim() { # claim TEXT COMMAND...: the command must succeed
	local text=$1
	shift
	if "$@" >"$work/said" 2>&1; then
		echo "ok   $text"
	else
		echo "FAIL $text"
		sed 's/^/     /' "$work/said" "$work/json" "$work/err"
		failed=$((failed + 1))
	fi
}

# record DEVICE [OPTION...]: sets code, and leaves the summary in json and the messages in err
record() {
	rm -rf "$work/out"
	mkdir "$work/out"
	timeout 60 "$wirespool" record --json -o "$work/out" "${@:2}" "$1" \
		>"$work/json" 2>"$work/err" </dev/null
	code=$?
}

ask() { jq -r "$1" "$work/json"; }
is() { [ "$1" = "$2" ] || { echo "got '$1', not '$2'" && false; }; }
said() { grep -qF -- "$1" "$work/err" || { echo "not said: $1" && false; }; }

# ledger OFFERED WRITTEN: and what is between them is damaged, and nothing else
ledger() {
	is "$(ask '[.ports[0].offered_pkts, .ports[0].received_pkts, .ports[0].nic_error_pkts,
		.ports[0].nic_missed_pkts + .ports[0].nic_no_mbuf_pkts, .runs[0].received_pkts,
		.runs[0].written_pkts, .runs[0].outside_window_pkts + .runs[0].filtered_pkts
		+ .runs[0].lost_ring_pkts + .runs[0].lost_memory_pkts + .runs[0].lost_disk_pkts]
		| join(" ")')" "$1 $2 $(($1 - $2)) 0 $2 $2 0"
}

whole() { # whole HOW FILE PACKETS: the run just made holds all of it
	is "$code" 0 && ledger "$3" "$3" && is "$(grep -cF "$2" "$work/err")" 0 &&
		"$wirespool" verify "$work/out" &&
		"$here/replay.py" "$1" "$work/in/$2" "$work"/out/*.pcapng
}

mkdir "$work/in"
"$here/replay.py" make "$work/in" >"$work/list" || exit 1

# What Wireshark 4.0 has no number for is compared by the two other readers.
how_of() {
	case $1 in
	link_slip_bsdos | link_ppp_bsdos | link_dsa_tag_brcm) echo compare-unknown ;;
	*) echo compare ;;
	esac
}

while read -r name packets linktype; do
	record "pcap:$work/in/$name,speed=max"
	claim "$name: $packets packets of link type $linktype come out as they are" \
		whole "$(how_of "$name")" "$name" "$packets"
done <"$work/list"

record "pcap:$work/in/usb_big_endian,speed=max"
claim "usb_big_endian: pseudo headers are turned to the byte order of our files" \
	whole compare-turned usb_big_endian 20

record "pcap:$work/in/eth_us" -s 64
cut_to() { "$wirespool" verify "$work/out" && "$here/replay.py" cut "$1" "$2" "$work"/out/*.pcapng; }
claim "-s 64 cuts the bytes and keeps the original lengths" cut_to 64 "$work/in/eth_us"
record "pcap:$work/in/jumbo" -s 14
claim "-s 14 of jumbo frames as well" cut_to 14 "$work/in/jumbo"
record "pcap:$work/in/length_262144" -s 65536
claim "-s 65536, across many mbufs" cut_to 65536 "$work/in/length_262144"
record "pcap:$work/in/link_user0" -s headers
claim "-s headers cuts nothing of a link type that is not understood" \
	cut_to 262144 "$work/in/link_user0"

# refused FILE SENTENCE: wrong usage, nothing made
refused() {
	is "$code" 2 && said "$1" && is "$(find "$work/out" -type f | wc -l)" 0
}
for fault in \
	"no_bytes|truncated dump file" \
	"text|unknown file format" \
	"header_torn|truncated dump file" \
	"linktype_too_wide|link type 65537 does not fit pcapng"; do
	record "pcap:$work/in/bad_${fault%%|*},speed=max"
	claim "${fault%%|*}: refused, and why" refused "${fault#*|}"
done

# early PACKETS SENTENCE: what is good of it is recorded, and the rest is said, in json too
early() {
	is "$code" 0 && ledger "$1" "$1" && said "$2" &&
		said "the $1 packets before it are good" &&
		is "$(ask '.warnings | map(select(test("packets before it are good"))) | length')" 1 &&
		"$wirespool" verify "$work/out" &&
		is "$(capinfos -TrcM "$work"/out/*.pcapng | cut -f2)" "$1"
}
for fault in \
	"record_torn|9|truncated dump file" \
	"data_torn|9|truncated dump file" \
	"pcapng_torn|9|truncated pcapng dump file" \
	"two_snaplens|1|an interface has a snapshot length 65535 different from" \
	"two_linktypes|1|an interface has a type 101 different from the type of the first interface"; do
	IFS='|' read -r name packets sentence <<<"$fault"
	record "pcap:$work/in/bad_$name,speed=max"
	claim "$name: what is whole is recorded, and that it is not all is a warning" \
		early "$packets" "$sentence"
done

longer() {
	is "$code" 0 && ledger 5 3 && "$wirespool" verify "$work/out" &&
		is "$(tshark -r "$work"/out/*.pcapng -T fields -e frame.len 2>/dev/null | xargs)" "60 61 62"
}
record "pcap:$work/in/bad_longer_than_carried,speed=max"
claim "longer_than_carried: packets of more than 262144 bytes are counted as damaged" longer

above() {
	is "$code" 0 && ledger 3 3 && "$wirespool" verify "$work/out" &&
		"$here/replay.py" compare-libpcap "$work/in/bad_above_snaplen" "$work"/out/*.pcapng
}
record "pcap:$work/in/bad_above_snaplen,speed=max"
claim "above_snaplen: what goes past the file's own snaplen is cut, as tcpdump reads it" above

lifted() {
	is "$code" 0 && ledger 10 10 && "$wirespool" verify "$work/out" &&
		is "$(tshark -r "$work"/out/*.pcapng -T fields -e frame.len -e frame.cap_len 2>/dev/null |
			sort -u | xargs)" "60 60"
}
record "pcap:$work/in/bad_length_below_captured,speed=max"
claim "length_below_captured: a packet is never shorter than what is there of it" lifted

mixed() {
	is "$code" 2 && said "one file holds one link type" && is "$(find "$work/out" -type f | wc -l)" 0
}
rm -rf "$work/out"
mkdir "$work/out"
timeout 60 "$wirespool" record --json -o "$work/out" "pcap:$work/in/eth_us" "pcap:$work/in/link_raw" \
	>"$work/json" 2>"$work/err" </dev/null
code=$?
claim "files of two link types in one recording: refused, and why" mixed

[ "$failed" -eq 0 ]
