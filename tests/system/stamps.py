#!/usr/bin/python3
"""
What the files of a run hold, told by the generator's own numbers.

    stamps.py [--flows N] FILE...

The files are of one run, with the generator on one queue; they are read in the order of their
segment numbers. Frame k of the generator is packet k // N of flow k % N and says so in its payload
(capture/frames.h), so k is known of every packet, and every packet that is not there as well.

Prints one JSON object:
    packets           in all files
    first, last       k of the first and the last packet
    gap_pkts          missing between them
    gaps              [file, k before, k after, epb_dropcount of the packet after], at most 1000
    wrong_gaps        of those, where epb_dropcount is not the number of the missing packets
    dropcount         sum of all epb_dropcount
    backwards         packets whose k is not above the one before
    time_backwards    packets whose time is below the one before in the same file
    files             of each: path, packets, first and last k; before_dropcount: epb_dropcount of
                      its first packet; uncounted_pkts: missing inside it, without those that an
                      epb_dropcount counts
    statistics        the last of interface 0: ifrecv, ifdrop, filteraccept, osdrop, usrdeliv
"""
import json
import mmap
import os
import struct
import sys

MAGIC = b"WSPG"
PACKET, STATISTICS, SECTION = 6, 5, 0x0A0D0D0A
NAMES = {4: "ifrecv", 5: "ifdrop", 6: "filteraccept", 7: "osdrop", 8: "usrdeliv"}


def options(raw, at, end):
    while at + 4 <= end:
        code, size = struct.unpack_from("<HH", raw, at)
        if code == 0:
            return
        yield code, raw[at + 4:at + 4 + size]
        at += 4 + (size + 3 & ~3)


def number_of(path):
    name = os.path.basename(path)
    return int(name[:name.index(".pcapng")].rsplit("-", 1)[1])


class Reader:
    def __init__(self, flows):
        self.flows = flows
        self.last = None
        self.found = {"packets": 0, "first": None, "gap_pkts": 0, "gaps": [], "wrong_gaps": 0,
                      "dropcount": 0, "backwards": 0, "time_backwards": 0, "files": [],
                      "statistics": None}

    def stamp(self, raw, at, captured):
        # Ethernet, maybe a tag, IPv4 and UDP or TCP: few places where a payload can begin.
        for off in (42, 54, 46, 58, 62, 74, 66, 78):
            if raw[at + off:at + off + 4] == MAGIC and off + 16 <= captured:
                flow, number = struct.unpack_from(">IQ", raw, at + off + 4)
                return number * self.flows + flow
        sys.exit(f"no stamp in a packet of {captured} bytes at {at}")

    def gap(self, path, k, dropcount, this):
        found = self.found
        missing = k - self.last - 1
        if missing < 0:
            found["backwards"] += 1
            return
        if this["packets"]:
            this["uncounted_pkts"] += missing - dropcount
        found["gap_pkts"] += missing
        found["wrong_gaps"] += missing != dropcount
        if missing != dropcount or missing:
            if len(found["gaps"]) < 1000:
                found["gaps"].append([os.path.basename(path), self.last, k, dropcount])

    def packet(self, path, raw, at, size, this):
        high, low, captured, _ = struct.unpack_from("<IIII", raw, at + 12)
        end = at + 28 + (captured + 3 & ~3)
        dropcount = 0
        if end + 4 < at + size:
            for code, value in options(raw, end, at + size - 4):
                if code == 4:
                    dropcount = struct.unpack("<Q", value)[0]
        k = self.stamp(raw, at + 28, captured)
        if self.last is None:
            self.found["first"] = k
        elif k != self.last + 1 or dropcount:
            self.gap(path, k, dropcount, this)
        self.last = k
        self.found["dropcount"] += dropcount
        self.found["time_backwards"] += (high << 32 | low) < this["time"]
        this["time"] = high << 32 | low
        this["packets"] += 1
        if this["first"] is None:
            this["first"] = k
            this["before_dropcount"] = dropcount

    def file(self, path):
        this = {"path": path, "packets": 0, "first": None, "last": None, "before_dropcount": 0,
                "uncounted_pkts": 0, "time": 0}
        with open(path, "rb") as f:
            raw = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        at, end, unpack = 0, len(raw), struct.Struct("<II").unpack_from
        while at + 12 <= end:
            kind, size = unpack(raw, at)
            if size < 12 or size % 4 or at + size > end:
                sys.exit(f"{path}: broken block of {size} bytes at {at}")
            if kind == PACKET:
                self.packet(path, raw, at, size, this)
            elif kind == STATISTICS and struct.unpack_from("<I", raw, at + 8)[0] == 0:
                self.found["statistics"] = {
                    NAMES[code]: struct.unpack("<Q", value)[0]
                    for code, value in options(raw, at + 20, at + size - 4) if code in NAMES}
            at += size
        if this["packets"]:
            this["last"] = self.last
        del this["time"]
        self.found["files"].append(this)
        self.found["packets"] += this["packets"]


def main(arguments):
    flows = 1000
    if arguments[0] == "--flows":
        flows, arguments = int(arguments[1]), arguments[2:]
    reader = Reader(flows)
    for path in sorted(arguments, key=number_of):
        reader.file(path)
    print(json.dumps({**reader.found, "last": reader.last}))


main(sys.argv[1:])
