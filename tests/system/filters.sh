#!/bin/bash
# What recordings keep, and changes of it while they run, against what the packets were made of.
#
# The work is done by filters.py, in namespaces of its own as that of daemon.sh. Names of parts may
# follow: "filters.sh set replay" (PARTS there).
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
for program in tshark capinfos tcpdump unshare ip; do
	command -v "$program" >/dev/null || skip "no $program"
done
/usr/bin/python3 -c 'import scapy' 2>/dev/null || skip "no scapy"
namespaces=(unshare --net --mount --pid --fork --mount-proc --kill-child)
"${namespaces[@]}" true 2>/dev/null || skip "no namespaces of its own"

WORK=$(mktemp -d)
export WORK
trap 'rm -rf "$WORK"' EXIT
"${namespaces[@]}" /usr/bin/python3 "$here/filters.py" "$@"
