#!/bin/bash
# Filters against tcpdump: of captures of many link types, every expression keeps in literal mode the
# packets that "tcpdump -r FILE EXPRESSION" keeps, and is refused where that refuses it.
#
# The work is done by tcpdump.py; kept_packets, a program of the build, asks Wirespool's filters.
# Names of captures may follow: "tcpdump.sh ethernet". WIRESPOOL_BUILD names the build.
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1

here=$(cd "$(dirname "$0")" && pwd)
kept_packets=${WIRESPOOL_BUILD:-$here/../../build/release}/tests/kept_packets
for program in tcpdump /usr/bin/python3; do
	command -v "$program" >/dev/null || { echo "skipped: no $program"; exit 77; }
done
/usr/bin/python3 -c "import scapy" 2>/dev/null || { echo "skipped: no python3-scapy"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python3 "$here/tcpdump.py" "$kept_packets" "$work" "$@"
