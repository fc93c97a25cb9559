#!/bin/bash
# The prefilter of AF_XDP ports: a real wirespoold on a veth takes what its rules keep; all else lives on.
#
# The work is done by xdp.py. It runs in namespaces of its own, so that its interfaces, bpffs and
# processes are gone when it is. Names of parts may follow: "xdp.sh flood live" (PARTS there).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${WIRESPOOL:=$here/../../build/release/cli/wirespool}"
WIRESPOOL=$(realpath "$WIRESPOOL")
export WIRESPOOL LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1

skip() {
	echo "skipped: $1"
	exit 77
}

[ "$(id -u)" -eq 0 ] || skip "needs root"
for program in tshark jq unshare ip ethtool; do
	command -v "$program" >/dev/null || skip "no $program"
done
[ -e "$(dirname "$WIRESPOOL")/../capture/prefilter.bpf.o" ] || skip "built without clang: there is no prefilter"
namespaces=(unshare --net --mount --pid --fork --mount-proc --kill-child)
"${namespaces[@]}" mount -t bpf bpf /sys/fs/bpf 2>/dev/null || skip "no namespaces or bpffs of its own"

WORK=$(mktemp -d)
export WORK
trap 'rm -rf "$WORK"' EXIT
# Under AddressSanitizer: net_af_xdp of DPDK 22.11 forgets 80 bytes of libxdp's at its close, and never
# closes its program's object.
printf 'leak:xsk_umem__create\nleak:libbpf.so\n' >"$WORK/leaks"
export LSAN_OPTIONS=suppressions=$WORK/leaks:print_suppressions=0
"${namespaces[@]}" /usr/bin/python3 "$here/xdp.py" "$@"
