#!/usr/bin/python3
"""
Are the packets that are missing after a crash only those that may be?

    crash.py STAMPS VERIFIED OPEN

STAMPS is what stamps.py said, VERIFIED what `wirespool verify --json` said of the same files, OPEN
the files that were not sealed at the crash, one name without ".part" in each line.

Inside a file each hole must be counted: by an epb_dropcount, or by recovery (missing_pkts). Between
a file and the next, packets may be missing without a trace only if the file was still being
written, or if files between them had not come to be. Says what is wrong; exit 1 if anything is.
"""
import json
import os
import sys


def number_of(path):
    name = os.path.basename(path)
    return int(name[:name.index(".pcapng")].rsplit("-", 1)[1])


def check(stamps, verified, opened):
    if stamps["backwards"] or stamps["time_backwards"]:
        yield "packets are not in order"
    before = None
    for this in stamps["files"]:
        name, report = os.path.basename(this["path"]), verified[this["path"]]
        was_open = name in opened
        if report["state"] != ("recovered" if was_open else "sealed") and not (
                was_open and report["state"] == "sealed"):  # its own end block had arrived
            yield f"{name}: is {report['state']}"
        if report["pkts"] != this["packets"]:
            yield f"{name}: {report['pkts']} packets, and by their stamps {this['packets']}"
        if not this["packets"]:
            continue
        # What is missing at its begin; the rest of missing_pkts is inside.
        head = report["missing_pkts"] - this["uncounted_pkts"]
        if this["uncounted_pkts"] < 0 or head < 0:
            yield (f"{name}: {this['uncounted_pkts']} packets are missing inside, "
                   f"recovery counted {report['missing_pkts']}")
        if not was_open and report["missing_pkts"]:
            yield f"{name}: was sealed, and misses {report['missing_pkts']} packets"
        if before is not None:
            gap = this["first"] - before["last"] - 1 - this["before_dropcount"]
            followed = number_of(this["path"]) == number_of(before["path"]) + 1
            may_end_early = os.path.basename(before["path"]) in opened or not followed
            if gap < head or (gap > head and not may_end_early):
                yield (f"{name}: {gap} packets are missing before it, {head} of them counted, "
                       "and the file before it was whole")
        before = this


def main(stamps, verified, opened):
    with open(stamps, encoding="utf-8") as f:
        stamps = json.load(f)
    with open(verified, encoding="utf-8") as f:
        verified = {report["path"]: report for report in map(json.loads, f)}
    with open(opened, encoding="utf-8") as f:
        opened = set(f.read().split())
    wrong = list(check(stamps, verified, opened))
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main(*sys.argv[1:]))
