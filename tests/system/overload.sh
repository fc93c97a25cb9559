#!/bin/bash
# Under overload the account of every packet still balances, and agrees with what is in the files:
# disks that are slow, frozen, full or gone.
# shellcheck source=disks.sh disable=SC2154
. "$(dirname "$0")/disks.sh"

# What was written, by the ledger, is what capinfos counts in the files.
written_is_counted() {
	is "$(counted "$@")" "$(ask '.runs[0].written_pkts')"
}

lost() { ask '.runs[0] | .lost_ring_pkts + .lost_memory_pkts + .lost_disk_pkts'; }

# --- a patient source and a slow disk ---------------------------------------------------------

patient() {
	is "$code" 0 && balanced &&
		is "$(ask '.ports[0].offered_pkts, .runs[0].written_pkts' | xargs)" "1500000 1500000" &&
		written_is_counted "$work/a" && sound "$work/a"
}
unbroken() {
	read_stamps "$work/a" && is "$(stamp '[.first, .last, .packets, .gap_pkts, .dropcount,
		.backwards, .time_backwards] | join(" ")')" "0 1499999 1500000 0 0 0 0"
}
disk a 2G
slow "$work/a" 0.4 0.1
record 120 -o "$work/a" gen:rate=max,size=IMIX,count=1500000
claim "rate=max into a slow disk: the source waits, nothing is lost, exit code 0" patient
claim "... and every frame is there, in order, as its own number says" unbroken
quick "$work/a"
rm -f "$work"/a/*.pcapng*

# --- a source that does not wait, and a disk at a crawl ----------------------------------------

crawl() {
	is "$code" 3 && balanced && [ "$(ask '.runs[0].filtered_pkts')" -gt 0 ] &&
		[ $(($(lost) + $(ask '.ports[0].nic_missed_pkts'))) -gt 0 ] &&
		written_is_counted "$work/a" && sound "$work/a"
}
# What the files tell of losses: on the packets, and in the statistics at the end.
files_tell() {
	local missed

	missed=$(ask '.ports[0] | .offered_pkts - .received_pkts')
	read_stamps "$@" || return
	is "$(stamp .statistics.osdrop)" "$(lost)" &&
		is "$(stamp .statistics.ifdrop)" "$missed" &&
		is "$(stamp .statistics.usrdeliv)" "$(ask '.runs[0].written_pkts')" &&
		is "$(stamp '.statistics | .filteraccept - .usrdeliv - .osdrop')" 0 &&
		[ "$(stamp .dropcount)" -le $((missed + $(lost))) ] &&
		is "$(stamp '[.backwards, .time_backwards] | join(" ")')" "0 0"
}
slow "$work/a" 0.9 0.05
record 120 --for 4s -f udp -o "$work/a" gen:rate=10G,size=IMIX,tcp=10
claim "10G into a stripe at a crawl: offered = written + filtered + each loss, exit code 3" crawl
claim "... and the files tell the same losses" files_tell "$work/a"
quick "$work/a"
rm -f "$work"/a/*.pcapng*

# --- every hole where it is ---------------------------------------------------------------------

cat >"$work/conf" <<END
control: { socket = "$work/socket"; };
writers: { memory = "8MiB"; };
ports: ( { name = "gen"; device = "gen:rate=300M,size=1000"; descriptors = 32768; } );
recordings: ( { name = "holes"; ports = ["gen"]; stripes = ["$work/a"]; rotate = { bytes = "8MiB"; }; } );
END
holes() {
	is "$code" 3 && balanced && [ "$(ask '.runs[0].lost_memory_pkts')" -gt 0 ] &&
		written_is_counted "$work/a" && sound "$work/a" && files_tell "$work/a"
}
exact() {
	# What a NIC misses is known only now and then; what we lose is known to the packet.
	is "$(ask '.ports[0].nic_missed_pkts')" 0 && [ "$(stamp '.gaps | length')" -gt 1 ] &&
		is "$(stamp .wrong_gaps)" 0 &&
		is "$((($(ask '.ports[0].offered_pkts') - $(ask '.runs[0].outside_window_pkts')) - \
			$(stamp .packets)))" "$(lost)"
}
start_daemon "$work/conf"
slow "$work/a" 0.9 0.2
"$wirespool" -S "$work/socket" trigger holes >/dev/null
sleep 4
kill -TERM "$daemon_pid"
sleep 0.2
quick "$work/a"
wait "$daemon_pid"
code=$?
daemon_pid=
claim "8 MiB of memory and a slow disk: the ledger, capinfos and the files agree" holes
claim "... and each hole has its epb_dropcount on the packet behind it, to the packet" exact
rm -f "$work"/a/*.pcapng*

# --- one of two stripes frozen -------------------------------------------------------------------

frozen() {
	is "$code" 0 && balanced && is "$(lost)" 0 && [ "$grown" -gt 2 ] &&
		written_is_counted "$work/a" "$work/b" && sound "$work/a" "$work/b"
}
disk b 1G
fsfreeze -f "$work/a"
(
	for _ in $(seq 200); do
		grown=$(find "$work/b" -name '*.pcapng' | wc -l)
		[ "$grown" -lt 3 ] || break
		sleep 0.1
	done
	echo "$grown" >"$work/grown"
	fsfreeze -u "$work/a"
) &
helpers+=($!)
record 60 --for 3s --rotate 8MiB -o "$work/a" -o "$work/b" gen:rate=300M,size=1518
grown=$(cat "$work/grown")
claim "one of two stripes frozen: nothing is lost, and the other goes on ($grown files meanwhile)" frozen
whole_run() {
	read_stamps "$@" && is "$(stamp '[.gap_pkts, .dropcount, .backwards, .time_backwards]
		| join(" ")')" "0 0 0 0"
}
claim "... and no frame is missing in the middle" whole_run "$work/a" "$work/b"
undisk a
rm -f "$work"/b/*.pcapng*

# --- a stripe that fills up ------------------------------------------------------------------------

parts_sealed() {
	"$wirespool" recover "$@" && is "$(find "$@" -name '*.part' | wc -l)" 0 && sound "$@"
}
filled() {
	is "$code" 0 && balanced && is "$(lost)" 0 && parts_sealed "$work/small" "$work/b" &&
		written_is_counted "$work/small" "$work/b" && whole_run "$work/small" "$work/b"
}
disk small 48M
record 60 --for 3s --rotate 8MiB -o "$work/small" -o "$work/b" gen:rate=400M,size=1518
claim "a stripe fills up, the other has room: nothing is lost, exit code 0" filled
undisk small
undisk b

all_full() {
	is "$code" 3 && balanced && [ "$(ask '.runs[0].lost_disk_pkts')" -gt 0 ] &&
		parts_sealed "$work/c" "$work/d" && written_is_counted "$work/c" "$work/d" &&
		read_stamps "$work/c" "$work/d" &&
		is "$(stamp '[.backwards, .time_backwards] | join(" ")')" "0 0"
}
disk c 40M
disk d 48M
record 60 --for 3s --rotate 8MiB -o "$work/c" -o "$work/d" gen:rate=500M,size=1518
claim "all stripes full: lost_disk has what they did not take, exit code 3, and it ends" all_full
undisk c
undisk d

# --- a directory that is gone ----------------------------------------------------------------------

gone() {
	is "$code" 3 && balanced && [ "$(ask '.runs[0].lost_disk_pkts')" -gt 0 ] &&
		is "$(ask '.runs[0].written_pkts')" 0
}
mkdir "$work/e" "$work/f"
(
	sleep 2
	rm -rf "$work/e"
) &
helpers+=($!)
record 60 --for 3s -o "$work/e" gen:rate=100M,size=1518
claim "the only directory is removed: its packets are not written but lost_disk, exit code 3" gone

# take_away DIR: to the last file. What was sealed in it goes elsewhere first: it was written.
take_away() {
	mkdir -p "$work/kept"
	until rmdir "$1"; do
		mv "$1"/*.pcapng "$work/kept"
		rm -f "$1"/*.part
	done 2>/dev/null
}
other() {
	balanced && written_is_counted "$work/f" "$work/kept" && sound "$work/f" "$work/kept" &&
		[ "$(counted "$work/f")" -gt "$(counted "$work/kept")" ] &&
		is "$(find "$work/f" -name '*.part' | wc -l)" 0
}
mkdir "$work/e"
(
	sleep 2
	take_away "$work/e"
) &
helpers+=($!)
record 60 --for 5s --rotate 4MiB -o "$work/e" -o "$work/f" gen:rate=200M,size=1518
claim "one of two directories is removed: what is counted as written is in the other" other

[ "$failed" -eq 0 ]
