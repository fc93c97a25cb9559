# Shared by tests of tests/system: small disks of their own, slow, full or frozen; and claims.
# shellcheck shell=bash disable=SC2034

set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wirespool=${WIRESPOOL:?names the wirespool program}
wirespoold=$(dirname "$wirespool")/../control/wirespoold
for tool in jq capinfos mkfs.ext4 losetup fsfreeze /usr/bin/python3; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: not root"; exit 77; }

work=$(mktemp -d)
disks=()    # where they are mounted
helpers=()  # background jobs of ours
daemon_pid=
failed=0

cleanup() {
	local disk pid

	for pid in "${helpers[@]}"; do
		kill "$pid" 2>/dev/null
	done
	# Thawed first: nothing that waits for a frozen disk can be ended.
	for disk in "${disks[@]}"; do
		fsfreeze -u "$disk" 2>/dev/null
	done
	[ -z "$daemon_pid" ] || kill -KILL "$daemon_pid" 2>/dev/null
	wait
	for disk in "${disks[@]}"; do
		umount "$disk" 2>/dev/null || umount -l "$disk"
	done
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
		sed 's/^/     /' "$work/said" "$work/json" "$work/err" 2>/dev/null | cut -c1-600 | head -60
		failed=$((failed + 1))
	fi
}

is() { [ "$1" = "$2" ] || { echo "got '$1', not '$2'" && false; }; }

# disk NAME SIZE [ext4|xfs]: a file system of its own, mounted at $work/NAME; no space kept for root
disk() {
	truncate -s "$2" "$work/$1.img"
	mkdir "$work/$1"
	case ${3:-ext4} in
	ext4) mkfs.ext4 -q -F -m 0 "$work/$1.img" ;;
	xfs) mkfs.xfs -q "$work/$1.img" ;;
	esac
	if ! mount -o loop "$work/$1.img" "$work/$1"; then
		echo "skipped: no loop devices here"
		exit 77
	fi
	disks+=("$work/$1")
}

undisk() { # undisk NAME
	local disk left=()

	umount "$work/$1"
	rm -rf "${work:?}/$1" "$work/$1.img"
	for disk in "${disks[@]}"; do
		[ "$disk" = "$work/$1" ] || left+=("$disk")
	done
	disks=("${left[@]}")
}

# slow DISK FROZEN THAWED: from now on it takes nothing for FROZEN seconds, then all for THAWED.
# Sets slow_pid; quick() ends it.
slow() {
	(
		trap 'fsfreeze -u "$1" 2>/dev/null; exit' TERM
		while fsfreeze -f "$1"; do
			sleep "$2" &
			wait $!
			fsfreeze -u "$1"
			sleep "$3" &
			wait $!
		done
	) 2>/dev/null &
	slow_pid=$!
	helpers+=("$slow_pid")
}

quick() {
	kill "$slow_pid"
	wait "$slow_pid" 2>/dev/null
	fsfreeze -u "$1" 2>/dev/null
	return 0
}

# record SECONDS OPTION... DEVICE: sets code; json has the summary, err the messages
record() {
	timeout "$1" "$wirespool" record --json "${@:2}" >"$work/json" 2>"$work/err" </dev/null
	code=$?
}

ask() { jq -r "$1" "$work/json"; }

# Packets in the files below the directories, as capinfos counts them. .part files are not read.
counted() {
	local files

	mapfile -t files < <(find "$@" -name '*.pcapng')
	[ "${#files[@]}" -eq 0 ] && echo 0 && return
	capinfos -TrcM "${files[@]}" | cut -f2 | awk '{n += $1} END {print n}'
}

# Both equations of the ledger, with nothing left in RAM.
balanced() {
	jq -e '[.ports[] | .offered_pkts == .received_pkts + .nic_missed_pkts + .nic_no_mbuf_pkts
			+ .nic_error_pkts] + [.runs[] | .received_pkts == .outside_window_pkts
			+ .filtered_pkts + .written_pkts + .lost_ring_pkts + .lost_memory_pkts
			+ .lost_disk_pkts] | all' "$work/json"
}

sound() { # sound DIR...: every sealed file below them is valid
	find "$@" -name '*.pcapng' -print0 | xargs -0 -r "$wirespool" verify
}

# read_stamps DIR...: what stamps.py finds goes to stamps.json
read_stamps() {
	find "$@" -name '*.pcapng' -print0 | xargs -0 "$here/stamps.py" >"$work/stamps.json"
}

stamp() { jq -r "$1" "$work/stamps.json"; }

# start_daemon CONF: waits until it answers
start_daemon() {
	"$wirespoold" -c "$1" >"$work/json" 2>"$work/err" </dev/null &
	daemon_pid=$!
	while ! "$wirespool" -S "$work/socket" status --json >/dev/null 2>&1; do
		kill -0 "$daemon_pid" 2>/dev/null || return 1
		sleep 0.05
	done
}

# stop_daemon: sets code; json has its summary
stop_daemon() {
	kill -TERM "$daemon_pid"
	wait "$daemon_pid"
	code=$?
	daemon_pid=
}
