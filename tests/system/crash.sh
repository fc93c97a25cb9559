#!/bin/bash
# After kill -9 and after a power cut: what was sealed is sound, what was being written becomes so,
# and no packet is missing but those in flight at the end and those in holes that are counted.
# shellcheck source=disks.sh disable=SC2154
. "$(dirname "$0")/disks.sh"

for tool in tcpdump mkfs.xfs; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

rotate=8MiB

# settings WHEN DEVICE DIR...
settings() {
	local stripes

	stripes=$(printf '"%s", ' "${@:3}")
	cat <<-END
		control: { socket = "$work/socket"; };
		writers: { memory = "64MiB"; };
		ports: ( { name = "gen"; device = "$2"; descriptors = 32768; } );
		recordings: ( { name = "crash"; ports = ["gen"]; stripes = [${stripes%, }];
			rotate = { bytes = "$rotate"; }; when = "$1"; } );
	END
}

parts() { find "$@" -name '*.part'; }

# Everybody reads them to the end, and counts the same.
readers() {
	local file n

	for file in "$@"; do
		n=$("$wirespool" verify --json "$file" | jq -r .pkts)
		is "$(capinfos -TrcM "$file" | cut -f2)" "$n" || return
		# tcpdump ends with an error at what it cannot read.
		tcpdump -n -r "$file" -w "$work/copy" 2>"$work/tcpdump" ||
			{ cat "$work/tcpdump" && return 1; }
		is "$(capinfos -TrcM "$work/copy" | cut -f2)" "$n" || return
	done
}

# sealed_are_sound DIR...: and what is not sealed is kept in mind
sealed_are_sound() {
	parts "$@" | sed 's|.*/||; s|\.part$||' >"$work/open"
	sound "$@"
}

# recovered DIR...: nothing is left open, all is valid, everybody reads it, nothing is missing
# that may not be
recovered() {
	local name were_open=()

	is "$(parts "$@" | wc -l)" 0 || return
	find "$@" -name '*.pcapng' -print0 | xargs -0 "$wirespool" verify --json >"$work/verified" ||
		{ jq -c 'select(.fault_count != 0)' "$work/verified" && return 1; }
	while read -r name; do
		mapfile -t -O "${#were_open[@]}" were_open < <(find "$@" -name "$name")
	done <"$work/open"
	readers "${were_open[@]}" && read_stamps "$@" &&
		"$here/crash.py" "$work/stamps.json" "$work/verified" "$work/open"
}

by_command() { "$wirespool" recover "$@" && recovered "$@"; }

# The next start of the daemon, which records nothing then.
by_daemon() {
	settings trigger gen:rate=1M "$@" >"$work/idle"
	start_daemon "$work/idle" || return
	for _ in $(seq 200); do
		[ -n "$(parts "$@")" ] || break
		sleep 0.05
	done
	stop_daemon
	is "$code" 0 && recovered "$@"
}

# --- kill -9 -------------------------------------------------------------------------------------

# crash DEVICE: kills the daemon at some instant of its first second of recording
crash() {
	rm -f "$work"/a/* "$work"/b/* 2>/dev/null
	settings always "$1" "$work/a" "$work/b" >"$work/conf"
	start_daemon "$work/conf" || return
	sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
}

disk a 1500M
disk b 1500M xfs
left_open=0
for round in $(seq 20); do
	# At full speed nothing is lost before the crash, and the disks are as busy as can be.
	device=gen:rate=max,size=IMIX
	[ $((round % 2)) -eq 0 ] || device=gen:rate=2G,size=1518
	how=by_command
	[ $((round % 4)) -lt 2 ] || how=by_daemon
	crash "$device" 2>/dev/null
	claim "kill -9, $round: sealed files are sound" sealed_are_sound "$work/a" "$work/b"
	open=$(wc -l <"$work/open")
	claim "kill -9, $round: $open open files, recovered $how: whole but for counted holes and the end" \
		"$how" "$work/a" "$work/b"
	left_open=$((left_open + open))
done
claim "there was something to recover: $left_open files" [ "$left_open" -ge 10 ]
undisk a
undisk b

# --- power cut -----------------------------------------------------------------------------------

# Disks whose images lie on a file system that can clone files: a clone is the disk at one instant,
# with what the kernel had not written yet missing. The daemon stands still while both are cloned.
disk host 3G xfs
for name in a:ext4 b:xfs; do
	truncate -s 700M "$work/host/${name%:*}.img"
	"mkfs.${name#*:}" -q "$work/host/${name%:*}.img"
	mkdir "$work/${name%:*}" "$work/cut-${name%:*}"
	mount -o loop "$work/host/${name%:*}.img" "$work/${name%:*}" || exit 1
	disks=("$work/${name%:*}" "${disks[@]}")
done

cut_power() { # cut_power: what the disks of a and b hold at this instant is mounted at cut-a, cut-b
	local name

	kill -STOP "$daemon_pid"
	for name in a b; do
		cp --reflink=always "$work/host/$name.img" "$work/host/cut-$name.img" || return
	done
	kill -CONT "$daemon_pid"
	mount -o loop "$work/host/cut-a.img" "$work/cut-a" &&
		mount -o loop,nouuid "$work/host/cut-b.img" "$work/cut-b" || return
	disks=("$work/cut-a" "$work/cut-b" "${disks[@]}")
	sealed_are_sound "$work/cut-a" "$work/cut-b"
}
restore_power() {
	umount "$work/cut-a" "$work/cut-b"
	rm -f "$work"/host/cut-*.img
	disks=("${disks[@]:2}")
}

if ! cp --reflink=always "$work/host/a.img" "$work/host/try.img" 2>/dev/null; then
	echo "skipped: power cut: no file system that clones files"
	[ "$failed" -eq 0 ]
	exit
fi
rm "$work/host/try.img"
# What was begun within the last second may be gone whole: files that last longer, to see the others.
left_open=0 packets=0 in_holes=0
for round in 1 2 3; do
	rm -f "$work"/a/* "$work"/b/* 2>/dev/null
	sync -f "$work/a" && sync -f "$work/b" # or they may be back after the power cut
	rotate=64MiB
	[ "$round" -eq 2 ] || rotate=256MiB
	settings always gen:rate=200M,size=1518 "$work/a" "$work/b" >"$work/conf"
	start_daemon "$work/conf"
	sleep "$((2 + RANDOM % 3)).$((RANDOM % 10))"
	claim "power cut, $round: sealed files are sound" cut_power
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
	how=by_command
	[ $((round % 2)) -eq 0 ] || how=by_daemon
	claim "power cut, $round: $(wc -l <"$work/open") open files, recovered $how: whole but for counted holes and the end" \
		"$how" "$work/cut-a" "$work/cut-b"
	left_open=$((left_open + $(wc -l <"$work/open")))
	packets=$((packets + $(stamp .packets)))
	in_holes=$((in_holes + $(jq -s 'map(.missing_pkts) | add // 0' "$work/verified")))
	restore_power
done
claim "there was something to recover: $left_open files; $packets packets in all, $in_holes in holes" \
	[ "$left_open" -gt 0 ]

[ "$failed" -eq 0 ]
