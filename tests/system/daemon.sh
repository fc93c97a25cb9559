#!/bin/bash
# A real wirespoold with a settings file: windows, triggers, reloads, bad clients, ends and crashes.
#
# The work is done by daemon.py. It runs in namespaces of its own, so that its interfaces, mounts and
# processes are gone when it is. Names of parts may follow: "daemon.sh control ends" (PARTS there).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${WIRESPOOL:=$here/../../build/release/cli/wirespool}"
WIRESPOOL=$(realpath "$WIRESPOOL")
export WIRESPOOL LC_ALL=C.UTF-8 TZ=UTC

skip() {
	echo "skipped: $1"
	exit 77
}

[ "$(id -u)" -eq 0 ] || skip "needs root"
for program in tshark jq unshare ip mkfs.ext4 fsfreeze; do
	command -v "$program" >/dev/null || skip "no $program"
done
namespaces=(unshare --net --mount --pid --fork --mount-proc --kill-child)
"${namespaces[@]}" true 2>/dev/null || skip "no namespaces of its own"

WORK=$(mktemp -d)
export WORK
trap 'rm -rf "$WORK"' EXIT
"${namespaces[@]}" /usr/bin/python3 "$here/daemon.py" "$@"
