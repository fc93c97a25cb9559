#!/bin/bash
# What crosses a veth pair is what the files hold: real TCP with its super-frames, UDP, IPv6, tags,
# fragments and jumbo frames, compared with what tcpdump saw at both ends. By AF_PACKET and AF_XDP.
#
# Names of parts may follow: whole filters cuts limits devices trouble xdp.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
wirespool=$(realpath "${WIRESPOOL:?names the wirespool program}")
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root"; exit 77; }
for tool in ip tcpdump tshark editcap capinfos mergecap jq setpriv taskset ethtool timeout; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

left=wsv$$l right=wsv$$r # network namespaces: who sends, and where it is recorded
work=$(mktemp -d)
# Under AddressSanitizer: net_af_xdp of DPDK 22.11 forgets 80 bytes of libxdp's at its close, and never
# closes its program's object.
printf 'leak:xsk_umem__create\nleak:libbpf.so\n' >"$work/leaks"
export LSAN_OPTIONS=suppressions=$work/leaks:print_suppressions=0
failed=0
helpers=() # processes of ours

cleanup() {
	local pid
	for pid in "${helpers[@]}"; do
		kill "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	ip netns del "$left" 2>/dev/null
	ip netns del "$right" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

claim() { # claim TEXT COMMAND...: the command must succeed
	local text=$1
	shift
	if "$@" >"$work/said" 2>&1; then
		echo "ok   $text"
	else
		echo "FAIL $text"
		sed 's/^/     /' "$work/said" "$work/json" "$work/err" 2>/dev/null | cut -c1-400 | head -50
		failed=$((failed + 1))
	fi
}

is() { [ "$1" = "$2" ] || { echo "got '$1', not '$2'" && false; }; }
said() { grep -qE -e "$1" "$work/err" || { echo "not said: $1" && false; }; }
unsaid() { ! grep -E -e "$1" "$work/err"; }
ask() { jq -r "$1" "$work/json"; }
on() { ip netns exec "$@"; }
veth() { "$here/veth.py" "$@"; }

# One CPU sends, receives and answers: then there is one order of all packets.
send() { on "$left" taskset -c 0 "$here/veth.py" send "$@"; }

until_true() { # until_true COMMAND...: waits for it
	local i
	for ((i = 0; i < 500; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.02
	done
	echo "it did not come to this: $*" >&2
	return 1
}

make_pair() { # make_pair LEFT RIGHT NUMBER [MTU]
	local n=$3
	ip link add "$1" netns "$left" address 02:00:00:00:00:01 type veth \
		peer name "$2" netns "$right" address 02:00:00:00:00:02
	ip -n "$left" addr add "10.$n.0.1/24" dev "$1"
	ip -n "$right" addr add "10.$n.0.2/24" dev "$2"
	ip -n "$left" link set "$1" mtu "${4:-1500}" up
	ip -n "$right" link set "$2" mtu "${4:-1500}" up
	ip -n "$left" addr add "fd0$n::1/64" dev "$1" nodad
	ip -n "$right" addr add "fd0$n::2/64" dev "$2" nodad
	# Known neighbours: no ARP, no neighbour discovery, when they happen to be due.
	ip -n "$left" neigh add "10.$n.0.2" lladdr 02:00:00:00:00:02 dev "$1" nud permanent
	ip -n "$right" neigh add "10.$n.0.1" lladdr 02:00:00:00:00:01 dev "$2" nud permanent
	ip -n "$left" neigh add "fd0$n::2" lladdr 02:00:00:00:00:02 dev "$1" nud permanent
	ip -n "$right" neigh add "fd0$n::1" lladdr 02:00:00:00:00:01 dev "$2" nud permanent
}

set_mtu() {
	ip -n "$left" link set va mtu "$1"
	ip -n "$right" link set vb mtu "$1"
}

tap() { # tap NAMESPACE INTERFACE FILE: tcpdump, once it listens
	ip netns exec "$1" tcpdump -i "$2" -s 0 -B 65536 -U -Z root --time-stamp-precision=nano -w "$3" \
		2>"$3.err" &
	taps+=($!)
	helpers+=($!)
	until_true grep -q "listening on" "$3.err"
}

end_taps() { # and whether they saw all
	local pid f
	# It forgets what is in its ring when it is told to end.
	for f in "$work"/*.pcap.err; do
		until_true grep -qaP '\x88\xb5end' "${f%.err}" || return
	done
	for pid in "${taps[@]}"; do
		kill -INT "$pid"
		wait "$pid"
	done
	taps=()
	cat "$work"/*.pcap.err
	[ "$(grep -l "^0 packets dropped by kernel" "$work"/*.pcap.err | wc -l)" -eq \
		"$(find "$work" -name '*.pcap.err' | wc -l)" ]
}

begin() { # begin [OPTION...] DEVICE...: records, into out
	rm -rf "$work/out" "$work"/*.pcap*
	mkdir -p "$work/out"
	: >"$work/err"
	ip netns exec "$right" "$wirespool" record -v --json "$@" >"$work/json" 2>"$work/err" </dev/null &
	recorder=$!
	helpers+=("$recorder")
	until_true grep -qE "^run .*: begins|^error" "$work/err"
}

gone() { ! kill -0 "$recorder"; }
end() { # end [SIGNAL]: leaves its exit code in code. Without a signal it must end by itself.
	if [ -n "${1-}" ]; then
		kill "-$1" "$recorder"
	else
		until_true gone || kill "$recorder"
	fi
	wait "$recorder"
	code=$?
}

# Three readers of what was written. Joined in the order of their names: that is the order of time.
read_back() {
	local f i=0
	rm -rf "$work/parts"
	mkdir "$work/parts"
	find "$work"/out* -name '*.pcapng' -printf '%f %p\n' | sort | cut -d' ' -f2 >"$work/files"
	[ -s "$work/files" ] || return 1
	while read -r f; do
		i=$((i + 1))
		tcpdump -r "$f" --time-stamp-precision=nano -w "$work/parts/$(printf %05d $i)" 2>/dev/null ||
			return 1
	done <"$work/files"
	mergecap -a -F nsecpcap -w "$work/libpcap.pcap" "$work"/parts/* || return 1
	xargs mergecap -a -F nsecpcap -w "$work/wiretap.pcap" <"$work/files"
}

# sound WRITTEN: exit code, ledger, capinfos and verify
sound() {
	local counted

	is "$code" 0 || return
	counted=$(xargs capinfos -TmMcr <"$work/files" | awk -F, '{n += $NF} END {print n}')
	is "$counted" "$(ask '[.runs[].written_pkts] | add')" || return
	is "$(xargs capinfos -Tor <"$work/files" | grep -vc True)" 0 || return
	is "$(ask '[.ports[] | .nic_missed_pkts + .nic_no_mbuf_pkts + .nic_error_pkts] | add')" 0 || return
	"$wirespool" verify "$work"/out*
}

# crossed KIND...: records while they cross, with taps at both ends
crossed() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	taps=()
	begin "${options[@]}" -o "$work/out" vb
	tap "$left" va "$work/left.pcap"
	tap "$right" vb "$work/right.pcap"
	send va begin "$@" end
	end INT
	end_taps >"$work/taps" || { cat "$work/taps"; false; } || return
	read_back
}

identical() {
	sound && veth same ALL "$work/right.pcap" "$work/libpcap.pcap" &&
		veth same ALL "$work/right.pcap" "$work/wiretap.pcap" &&
		veth same IN "$work/left.pcap" "$work/libpcap.pcap"
}

### whole packets

whole() { # whole TEXT KIND...
	local text=$1
	shift
	claim "$text" crossed -- "$@"
	claim "... packets, bytes, lengths and order as tcpdump saw them at both ends" identical
}
flagged() { xargs -n 1 "$here/veth.py" flags <"$work/files"; }

part_whole() {
	whole "TCP on IPv4 and IPv6" tcp
	claim "... with super-frames" veth has superframes "$work/libpcap.pcap"
	claim "... on IPv6, too" veth has superframes6 "$work/libpcap.pcap"
	claim "... and the other direction" veth same OUT "$work/left.pcap" "$work/libpcap.pcap"
	claim "... and each is flagged with its direction" flagged
	whole "UDP of many sizes, and segmented by the kernel" udp udpgso
	whole "fragments" fragments
	claim "... that are some" veth has fragments "$work/libpcap.pcap"
	whole "802.1Q, 802.1ad and up to three tags" vlan
	claim "... 802.1Q" veth has vlan "$work/libpcap.pcap"
	claim "... 802.1ad with 802.1Q in it" veth has qinq "$work/libpcap.pcap"
	whole "short frames, LLC, trailers, a tag and no more" odd
	whole "frames of just the mtu" longest
	local mtu
	for mtu in 9000 9216; do
		set_mtu $mtu
		whole "jumbo frames, mtu $mtu" longest large tcp fragments
		claim "... that are jumbo" veth has jumbo$mtu "$work/libpcap.pcap"
	done
	set_mtu 1500
}

### filters: tcpdump's on what tcpdump saw, with the tags spelled out

filtered() { # filtered EXPRESSION ORACLE [KIND]...
	crossed -f "ether proto 0x88b5 or ($1)" --fragments literal -- udp fragments vlan "${@:3}" || return
	sound || return
	tcpdump -r "$work/right.pcap" --time-stamp-precision=nano -w "$work/wanted.pcap" \
		"ether proto 0x88b5 or ($2)" 2>/dev/null
	veth same ALL "$work/wanted.pcap" "$work/libpcap.pcap" || return
	[ "$(ask '.runs[0].filtered_pkts')" -gt 0 ]
}
# Without its tags, three at most here; in this order, as "vlan" moves all that is behind it.
behind_tags() { echo "($1) or (vlan and (($1) or (vlan and (($1) or (vlan and ($1))))))"; }

# All of UDP crosses, and each of its fragments has the addresses of some that do.
all_fragments() {
	crossed -f "ether proto 0x88b5 or udp" -- udp fragments && sound || return
	tcpdump -r "$work/right.pcap" --time-stamp-precision=nano -w "$work/wanted.pcap" \
		"ether proto 0x88b5 or udp or ip proto 17 or ip6 protochain 17" 2>/dev/null
	veth same ALL "$work/wanted.pcap" "$work/libpcap.pcap"
}

part_filters() {
	local e
	for e in "udp port 53" "host 10.9.0.2" "host 10.8.0.2" ip6; do
		claim "-f '$e' is what tcpdump finds, also behind tags" \
			filtered "$e" "$(behind_tags "$e")"
	done
	e="udp port 53 or ip[6:2] & 0x1fff != 0"
	claim "-f '$e' is tcpdump's, fragments and all" filtered "$e" "$(behind_tags "$e")"
	claim "-f udp keeps all fragments, of IPv6 as well" all_fragments
	claim "-f 'not udp' keeps no UDP behind tags" filtered "not udp" "not ($(behind_tags udp))" tcp
	claim "-f 'vlan' is tcpdump's own" filtered vlan vlan
	claim "-f 'vlan 100 and udp port 53' is tcpdump's own" \
		filtered "vlan 100 and udp port 53" "vlan 100 and udp port 53"
}

### cuts

cut_at() { crossed -s "$1" -- tcp udp vlan fragments && sound; }
part_cuts() {
	claim "-s 96" cut_at 96
	claim "... stores 96 bytes of each, and both lengths are true" \
		veth cut 96 "$work/right.pcap" "$work/libpcap.pcap"
	claim "-s headers" cut_at headers
	claim "... ends where tshark's headers end" \
		veth headers 0 "$work/right.pcap" "$work/libpcap.pcap"
	claim "-s headers+16" cut_at headers+16
	claim "... ends 16 bytes behind" veth headers 16 "$work/right.pcap" "$work/libpcap.pcap"
}

### limits, stripes, rotation

striped() {
	crossed -o "$work/out2" --rotate 2MiB -- tcp pause tcp pause tcp udp || return
	identical || return
	[ "$(find "$work/out" -name '*.pcapng' | wc -l)" -gt 1 ] &&
		[ "$(find "$work/out2" -name '*.pcapng' | wc -l)" -gt 1 ]
}
in_time() { # a new file each second, on both stripes
	begin -o "$work/out" -o "$work/out2" --every 1s vb
	send va begin
	for _ in 1 2 3; do
		send va flow
		sleep 1
	done
	send va flow end
	end INT
	read_back
	sound || return
	is "$(tshark -r "$work/libpcap.pcap" -Y "udp.dstport == 4000" 2>/dev/null | wc -l)" 400 || return
	[ "$(wc -l <"$work/files")" -ge 3 ]
}
limited() { # limited N: exactly so many, the first ones, and it ended by itself
	begin -o "$work/out" --packets "$1" vb
	send va begin flow flow flow end
	end
	read_back
	sound || return
	is "$(ask '.runs[0].written_pkts')" "$1"
	is "$(capinfos -TmMcr "$work/libpcap.pcap")" "$work/libpcap.pcap,$1"
}
limited_bytes() {
	begin -o "$work/out" --bytes 10kB vb
	send va begin flow flow flow end
	end
	read_back
	sound || return
	# It ends with the packet that reaches the limit: 106 bytes each here, with its marker.
	n=$(tshark -r "$work/libpcap.pcap" -T fields -e frame.cap_len 2>/dev/null | awk '{n += $1} END {print n}')
	echo "$n bytes"
	[ "$n" -ge 9800 ] && [ "$n" -le 10000 ]
}

part_limits() {
	rm -rf "$work/out2"
	claim "two stripes, with --rotate: all packets, in several files on each" striped
	rm -rf "$work/out2"
	claim "two stripes, with --every: all packets, in a file for each second" in_time
	rm -rf "$work/out2"
	claim "--packets 1 keeps one" limited 1
	claim "--packets 77 keeps 77" limited 77
	claim "--bytes 10kB keeps no more than that" limited_bytes
}

### several devices

two_devices() {
	begin -o "$work/out" vb wb
	tap "$right" vb "$work/right.pcap"
	tap "$right" wb "$work/right2.pcap"
	send va begin flow udp
	send wa begin flow vlan end
	send va flow end
	end INT
	end_taps >"$work/taps" || return
	read_back
	sound || return
	local i=0 tap
	for tap in right right2; do
		tshark -r "$(cat "$work/files")" -Y "frame.interface_id == $i" -F nsecpcap \
			-w "$work/one$i.pcap" 2>/dev/null
		veth same ALL "$work/$tap.pcap" "$work/one$i.pcap" || return
		i=$((i + 1))
	done
	is "$(ask '.runs[0].written_pkts')" "$(ask '[.ports[].received_pkts] | add')"
}
refused() { # refused CODE SAYS DEVICE...
	local wanted=$1 says=$2
	shift 2
	on "$right" timeout 60 "$wirespool" record -o "$work/refused" "$@" \
		>"$work/json" 2>"$work/err" </dev/null
	code=$?
	is "$code" "$wanted" && said "$says" && is "$(wc -l <"$work/err")" 1 && [ ! -e "$work/refused" ]
}
refused_as_nobody() { # refused_as_nobody SAYS DEVICE
	on "$right" timeout 60 setpriv --reuid=65534 --clear-groups "$wirespool" record --for 1s \
		-o null: "$2" >"$work/json" 2>"$work/err" </dev/null
	code=$?
	is "$code" 1 && said "$1" && is "$(wc -l <"$work/err")" 1
}

part_devices() {
	ip -n "$right" link show wb >/dev/null 2>&1 || make_pair wa wb 8
	taps=()
	claim "two devices in one file: each packet with its own interface" two_devices
	claim "a device that does not exist" refused 2 "^error: there is no interface 'nosuch'$" nosuch
	claim "... for af_xdp:" refused 2 "^error: .*there is no interface 'nosuch'$" af_xdp:nosuch
	claim "the same device twice" refused 2 "^error: device 'vb' is named twice$" vb vb
	claim "not permitted: CAP_NET_RAW is named" refused_as_nobody "^error: .*vb.*CAP_NET_RAW" vb
	claim "not permitted af_xdp: CAP_NET_RAW is named" \
		refused_as_nobody "^error: .*vb.*CAP_NET_RAW" af_xdp:vb
}

### trouble

link_moves() { # link_moves DEVICE
	begin -o "$work/out" "$1"
	send va begin flow
	ip -n "$right" link set vb down
	until_true said "^warning: port .*: link down" || return
	ip -n "$right" link set vb up
	until_true said "^port .*: link up" || return
	send va flow end
	end INT
	read_back
	is "$code" 0 || return
	is "$(tshark -r "$work/libpcap.pcap" -Y "udp.dstport == 4000" 2>/dev/null | wc -l)" 200
}
deleted() { # deleted DEVICE: it goes on and ends well
	begin -o "$work/out" "$1"
	send xa flow
	ip -n "$right" link del xb
	until_true said "^warning: port .*: link down" || return
	sleep 0.3
	kill -0 "$recorder" || return
	end INT
	read_back
	sound || return
	is "$(tshark -r "$work/libpcap.pcap" -Y "udp.dstport == 4000" 2>/dev/null | wc -l)" 100
}
just_up() { # no word of a link that is up
	ip -n "$left" link set va down
	ip -n "$right" link set vb down
	ip -n "$left" link set va up
	ip -n "$right" link set vb up
	begin -o null: vb
	end INT
	is "$code" 0 && unsaid "is down|link down"
}
is_down() {
	ip -n "$right" link set vb down
	begin -o null: vb
	end INT
	ip -n "$right" link set vb up
	is "$code" 0 && said "interface 'vb' is down"
}

part_trouble() {
	local kind
	claim "a link that came up just now is not called down" just_up
	claim "one that is down is" is_down
	for kind in "" af_xdp:; do
		claim "${kind}vb down and up: logged, and packets come again" link_moves "${kind}vb"
		make_pair xa xb 7
		claim "${kind}xb deleted: the recording goes on, and ends well" deleted "${kind}xb"
	done
}

### AF_XDP

xdp_crossed() { # what comes in, as it left the other end
	taps=()
	begin -o "$work/out" af_xdp:vb
	tap "$left" va "$work/left.pcap"
	send va begin "$@" end
	end INT
	end_taps >"$work/taps" || return
	read_back || return
	sound || return
	veth same IN "$work/left.pcap" "$work/libpcap.pcap" &&
		veth same IN "$work/left.pcap" "$work/wiretap.pcap"
}
# A bridge takes the tag out of the frame, and leaves it to the driver, which is a veth, to send.
bridged() { # bridged on|off: of the peer's offload; n: packets with an 802.1ad tag, m: all
	on "$left" ethtool -K va txvlan "$1" tx-vlan-stag-hw-insert "$1" || return
	begin -o "$work/out" af_xdp:vb
	send ya vlan end
	end INT
	said "warning: xdp-vb: VLAN tags that .* txvlan off" || return
	read_back && sound || return
	n=$(tshark -r "$work/libpcap.pcap" -Y "eth.type == 0x88a8" 2>/dev/null | wc -l)
	m=$(tshark -r "$work/libpcap.pcap" -Y "udp" 2>/dev/null | wc -l)
}
tags_lost() { bridged on && is "$n $m" "6 42"; } # those of two such tags have one left
tags_kept() { bridged off && is "$n $m" "18 42"; }
promiscuous() { ip -n "$right" -d link show vb | grep -c "PROMISC"; }
left_as_it_was() { is "$(promiscuous)" 0; }

xdp_too_long() { # at mtu 3000: a warning, and what is too long is counted
	set_mtu 3000
	begin -o "$work/out" af_xdp:vb
	send va begin flow longest end
	end INT
	set_mtu 1500
	read_back
	said "warning: xdp-vb: AF_XDP takes frames of up to 1792 bytes, and the mtu is 3000" || return
	is "$code" 3 && is "$(ask '.ports[0].nic_missed_pkts')" 4
}
xdp_jumbo() {
	set_mtu 9000
	refused 1 "^error: af_xdp:vb: AF_XDP takes frames of up to 1792 bytes, .* mtu of 9000" af_xdp:vb
	local r=$?
	set_mtu 1500
	return $r
}

part_xdp() {
	claim "af_xdp: small frames as they left the other end" xdp_crossed flow odd
	claim "af_xdp: tags in the frame" xdp_crossed vlan
	claim "af_xdp: frames of just the mtu, with a tag" xdp_crossed longest
	claim "af_xdp: mtu 3000 is warned of, and longer frames are counted" xdp_too_long
	claim "af_xdp: mtu 9000 is refused, with the reason" xdp_jumbo
	claim "af_xdp: the interface is not left promiscuous" left_as_it_was
	if ip -n "$left" link add br0 type bridge 2>/dev/null; then
		ip -n "$left" link add ya type veth peer name yb
		ip -n "$left" link set yb master br0
		ip -n "$left" link set va master br0
		for f in br0 ya yb; do ip -n "$left" link set $f up; done
		claim "af_xdp: tags that a kernel kept beside the frame are lost, as warned" tags_lost
		claim "af_xdp: ... and kept with the peer's offload off" tags_kept
	else
		echo "     no bridges here: tags beside the frame not tried"
	fi
}

for ns in "$left" "$right"; do
	ip netns add "$ns" || { echo "skipped: no network namespaces"; exit 77; }
done
for ns in "$left" "$right"; do
	# No addresses, reports or requests that the kernel makes when it likes.
	on "$ns" sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv6.conf.default.accept_ra=0 \
		net.ipv6.conf.default.mldv2_unsolicited_report_interval=0 \
		net.ipv6.conf.default.router_solicitations=0
done
make_pair va vb 9 || { echo "skipped: no veth interfaces"; exit 77; }
ip netns exec "$right" taskset -c 0 "$here/veth.py" serve >"$work/server" 2>&1 &
helpers+=($!)
until_true grep -q ready "$work/server" || exit 1

[ $# -gt 0 ] || set -- whole filters cuts limits devices trouble xdp
for part in "$@"; do
	"part_$part"
done
[ "$failed" -eq 0 ] || { echo "$failed claims failed"; exit 1; }
