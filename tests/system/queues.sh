#!/bin/bash
# Ports with many rx queues, on two CPUs: every packet once and in order, every loss counted.
#
# The work is done by queues.py. Names of parts may follow: "queues.sh late" (PARTS there).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${WIRESPOOL:=$here/../../build/release/cli/wirespool}"
WIRESPOOL=$(realpath "$WIRESPOOL")
export WIRESPOOL LC_ALL=C.UTF-8 TZ=UTC

for program in tshark capinfos mergecap /usr/bin/python3; do
	command -v "$program" >/dev/null || { echo "skipped: no $program"; exit 77; }
done

WORK=$(mktemp -d)
export WORK
trap 'rm -rf "$WORK"' EXIT
/usr/bin/python3 "$here/queues.py" "$@"
