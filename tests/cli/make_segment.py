#!/usr/bin/env python3
"""Writes a segment file as docs/format.md has it, by other code than Wirespool's.

    make_segment.py FILE RUN NUMBER PACKETS FIRST_SECOND [foreign|recovered]

One packet each second. "foreign": no marks and no end block, as another program would write it;
"recovered": as recovery seals it, 7 packets and the chunk that held them being gone.
"""

import struct
import sys

WIRESPOOL = 0x80575350


def block(kind, body):
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def pad_to_page(size):
    gap = -size % 4096
    if gap and gap < 16:
        gap += 4096
    return block(WIRESPOOL, b"PAD " + bytes(gap - 16)) if gap else b""


def run_hash(run):
    h = 0xCBF29CE484222325
    for byte in run.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    path, run, number, count, first = sys.argv[1:6]
    kind = sys.argv[6] if len(sys.argv) > 6 else ""
    number, count, first_ns = int(number), int(count), int(first) * 10**9
    last_ns = first_ns + (count - 1) * 10**9 if count else 0
    first_ns = first_ns if count else 0
    # a chunk before ours, whose place is padding now
    missing = 7 if kind == "recovered" else 0
    head = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    head += block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0))
    packets = b""
    for i in range(count):
        t = first_ns + i * 10**9
        packets += block(6, struct.pack("<IIIII", 0, t >> 32, t & 0xFFFFFFFF, 60, 64) + bytes(60))
    # until the file's end, so without padding
    stats = block(5, struct.pack("<III", 0, last_ns >> 32, last_ns & 0xFFFFFFFF))
    end = block(WIRESPOOL, struct.pack("<IIQQQQQQQI", 0x20444E45, number, run_hash(run), count,
                                       60 * count, 64 * count, first_ns, last_ns,
                                       missing, kind == "recovered"))
    mark_bytes = 72
    tail = packets + stats + end
    mark = block(WIRESPOOL, struct.pack("<IIQIIQIIQQI", 0x4B4E4843, mark_bytes + len(tail),
                                        run_hash(run), number, missing > 0, missing, count, 0, first_ns, last_ns, 0))
    assert len(mark) == mark_bytes and len(end) == 80
    with open(path, "wb") as f:
        f.write(head + packets if kind == "foreign" else head + pad_to_page(len(head)) + mark + tail)


main()
