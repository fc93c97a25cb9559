#!/bin/bash
# The units are sound, and the service is hardened without losing what recording needs.
#
# Needs no running systemd: all checks are offline. 77: systemd-analyze is not installed.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
units=$top/systemd
command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0

claim() { # claim TEXT COMMAND...: the command must succeed
	local text=$1
	shift
	if "$@" >"$work/said" 2>&1; then
		echo "ok: $text"
	else
		echo "NOT ok: $text"
		sed 's/^/    /' "$work/said"
		faults=$((faults + 1))
	fi
}

refused() { ! "$@"; }

# systemd-analyze reads files by the name of their unit, from a folder of their own.
exposure_at_most() { # exposure_at_most TENTHS FILE...: later files are drop-ins' lines
	local tenths=$1
	shift
	mkdir -p "$work/unit"
	cat "$@" >"$work/unit/wirespoold.service"
	systemd-analyze security --offline=yes --no-pager --threshold="$tenths" \
		"$work/unit/wirespoold.service"
}

verify_units() { # verify_units [LINE]: with one more line in the service
	# Only what is in the tree is judged: programs may not be installed yet, so something that
	# exists stands in for them; man pages are not installed either.
	mkdir -p "$work/verify"
	sed -e 's|/usr/s\?bin/wirespoold\?|/bin/true|' -e '/^Documentation=/d' \
		"$units/wirespoold.service" >"$work/verify/wirespoold.service"
	echo "${1-}" >>"$work/verify/wirespoold.service"
	sed '/^Documentation=/d' "$units/wirespool.slice" >"$work/verify/wirespool.slice"
	# It warns of much on standard error and still succeeds: silence is the test. Units of the
	# machine that it loads on the way are not ours to judge.
	SYSTEMD_UNIT_PATH="$work/verify:" systemd-analyze verify --man=no \
		"$work/verify/wirespoold.service" "$work/verify/wirespool.slice" 2>&1 |
		grep -E "wirespool|$work" && return 1
	return 0
}

syscalls_of() { # names in @SETs, those in them included
	local name
	for name in "$@"; do
		systemd-analyze syscall-filter "$name" --no-pager | sed -n 's/^    \([@a-z_0-9-]*\).*/\1/p'
	done | while read -r name; do
		case $name in
		@*) syscalls_of "$name" ;;
		?*) echo "$name" ;;
		esac
	done
}

unit_allows() { # unit_allows SYSCALL: what SystemCallFilter= lines come to
	local line
	local -A allowed=()
	while read -r line; do
		local words=${line#\~} name
		# shellcheck disable=SC2086 # a list of words
		for name in $(for word in $words; do
			case $word in @*) syscalls_of "$word" ;; *) echo "$word" ;; esac
		done); do
			case $line in
			\~*) unset "allowed[$name]" ;;
			*) allowed[$name]=1 ;;
			esac
		done
	done < <(sed -n 's/^SystemCallFilter=//p' "${unit_files[@]}")
	local missing=0
	for name in "$@"; do
		[[ -n ${allowed[$name]-} ]] || { echo "$name is not allowed"; missing=1; }
	done
	return $missing
}

setting() { # setting NAME: seconds or words of the last line with it
	sed -n "s/^$1=//p" "$units/wirespoold.service" | tail -1
}

stop_outlasts_disks() {
	local stop
	stop=$(setting TimeoutStopSec)
	[[ ${stop%s} -gt 60 ]] # control.stop_timeout
}

claim "a service that drops nothing is refused (the test can fail)" \
	refused exposure_at_most 30 <(printf '[Service]\nExecStart=/bin/true\n')
claim "exposure of the service is 3.0 or less" exposure_at_most 30 "$units/wirespoold.service"
claim "exposure with the AF_XDP drop-in is 3.0 or less" \
	exposure_at_most 30 "$units/wirespoold.service" "$units/wirespoold-af_xdp.conf"
claim "systemd finds a misspelled setting (the test can fail)" refused verify_units "WatchDog=30s"
claim "systemd finds no fault in the units" verify_units

unit_files=("$units/wirespoold.service")
claim "io_uring, huge pages, NUMA, pinning and the sockets are allowed" unit_allows \
	io_uring_setup io_uring_enter io_uring_register memfd_create mbind set_mempolicy \
	get_mempolicy sched_setaffinity sched_getaffinity mlock mlockall munlock mmap mprotect \
	socket bind setsockopt ioctl accept4 sendmsg recvmsg eventfd2 epoll_wait epoll_pwait \
	timerfd_create signalfd4 openat pwrite64 fallocate ftruncate fsync fdatasync renameat2 \
	rename unlink flock statx statfs fstatfs fchown fchmod chmod clone3 futex membarrier rseq \
	prlimit64 setrlimit execve pipe2 kill
claim "bpf() and kernel modules are refused" \
	refused unit_allows bpf
claim "modules cannot be loaded" refused unit_allows init_module
unit_files+=("$units/wirespoold-af_xdp.conf")
claim "the AF_XDP drop-in allows bpf()" unit_allows bpf

claim "the BPF JIT may make its code executable" [ "$(setting MemoryDenyWriteExecute)" = no ]
claim "stopping waits longer than for slow disks" stop_outlasts_disks
claim "lost packets are no failure of the service" [ "$(setting SuccessExitStatus)" = 3 ]
claim "locked memory has no limit" [ "$(setting LimitMEMLOCK)" = infinity ]

if command -v systemd-sysusers >/dev/null && command -v systemd-tmpfiles >/dev/null; then
	mkdir -p "$work/root/etc"
	claim "sysusers.d makes the user" systemd-sysusers --root="$work/root" \
		"$units/wirespool.sysusers.conf"
	claim "the user is there" grep -q '^wirespool:' "$work/root/etc/passwd"
	if [ "$(id -u)" -eq 0 ]; then
		# The folders get their owner from the root's own passwd.
		claim "tmpfiles.d makes the folders" systemd-tmpfiles --create \
			--root="$work/root" "$units/wirespool.tmpfiles.conf"
		claim "the stripe's default folder is there" [ -d "$work/root/var/lib/wirespool" ]
	fi
fi

[ "$faults" -eq 0 ]
