#!/usr/bin/python3
"""
Filters against tcpdump; tcpdump.sh says what for.

    tcpdump.py KEPT_PACKETS WORK [NAME...]

Makes captures in WORK (tcpdump_captures.py), takes those of the tree and of Debian's packages besides,
and asks tcpdump and KEPT_PACKETS about each expression. Each difference is shown with its
capture, expression and packet. Exit: 0 if there is none.
"""
import concurrent.futures
import glob
import os
import re
import struct
import subprocess
import sys

import tcpdump_captures

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
SHOWN_MAX = 10  # differences of one capture

AUTHENTICATION_HEADER = b"\x33"


class Capture:
    """A capture in WORK. Packet N has the time N seconds, so that what is kept of it can be told."""

    def __init__(self, work, name, linktype, packets):
        self.name, self.linktype, self.packets = name, linktype, packets
        self.path = self.write(os.path.join(work, name + ".pcap"), lambda data: True)
        # libpcap may never come back from a chain of headers with an authentication header in it.
        self.chains = [AUTHENTICATION_HEADER not in data for data, _ in packets]
        self.chains_path = self.write(
            os.path.join(work, name + "-chains.pcap"), lambda data: AUTHENTICATION_HEADER not in data)

    def write(self, path, wanted):
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, self.linktype))
            for number, (data, length) in enumerate(self.packets):
                if wanted(data):
                    f.write(struct.pack("<IIII", number, 0, len(data), length) + data)
        return path


def records(pcap):
    """[(second, bytes, original length)] and the link type of what tcpdump wrote."""
    order = "<" if pcap[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    found, at = [], 24
    while at < len(pcap):
        second, _, captured, length = struct.unpack_from(order + "IIII", pcap, at)
        found.append((second, pcap[at + 16:at + 16 + captured], length))
        at += 16 + captured
    return found, struct.unpack_from(order + "I", pcap, 20)[0]


def tcpdump(path, expression):
    """What tcpdump writes, or None and why it refuses."""
    run = subprocess.run(["tcpdump", "-r", path, "-w", "-", "--", expression],
                         capture_output=True, check=False)
    said = run.stderr.decode(errors="replace").strip()
    if run.returncode == 0:
        return run.stdout, said
    if run.returncode < 0 or "tcpdump: " not in said:
        raise RuntimeError(f"tcpdump -r {path} '{expression}' ended with {run.returncode}: {said}")
    return None, said.split("tcpdump: ")[-1]


def chance(path, expression):
    """
    True if libpcap's program reads a word of its memory that it has not written (program_set_memory()
    in filter/filter_program.h): what tcpdump answers is what lay there before.
    """
    listing = subprocess.run(["tcpdump", "-d", "-r", path, "--", expression],
                             capture_output=True, check=True).stdout.decode()
    written = {0: set()}  # of instructions that are reached
    for number, operation, operand, yes, no in re.findall(
            r"^\((\d+)\) (\w+) *(\S*)(?:.*jt (\d+)\s+jf (\d+))?", listing, re.MULTILINE):
        number = int(number)
        if number not in written:
            continue
        before = set(written[number])
        word = re.match(r"M\[\d+\]", operand)
        if word and operation in ("ld", "ldx") and operand not in before:
            return True
        if word and operation in ("st", "stx"):
            before.add(operand)
        following = {"ja": [operand], "ret": []}.get(operation, [yes, no] if yes else [number + 1])
        for target in map(int, following):
            written[target] = written.get(target, before) & before
    return False


def foreign_captures(work):
    """Those of the tree and of Debian's packages, as tcpdump reads them, one of each link type."""
    paths = glob.glob(os.path.join(DATA, "*.pcap"))
    for ending in ("pcap", "pcapng", "cap"):
        paths += glob.glob("/usr/share/**/*." + ending, recursive=True)
    by_linktype, read = {}, 0
    for path in sorted(paths):
        whole, _ = tcpdump(path, "")
        if whole:
            packets, linktype = records(whole)
            by_linktype.setdefault(linktype, []).extend((data, length) for _, data, length in packets)
            read += 1
    print(f"     {read} of {len(paths)} foreign files have packets that libpcap reads")
    return [(f"foreign_{linktype}", linktype, packets) for linktype, packets in by_linktype.items()]


def read_expressions(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]


def ours(kept_packets, capture, expressions):
    """For each expression why it is refused, or {way: the packets as "0110..."}."""
    run = subprocess.run([kept_packets, capture.path], input="\n".join(expressions).encode(),
                         capture_output=True, check=False)
    lines = run.stdout.decode().splitlines()
    if run.returncode != 0 or len(lines) != len(expressions):
        raise RuntimeError(f"kept_packets {capture.path} ended with {run.returncode} after "
                           f"{len(lines)} expressions: {run.stderr.decode()}")
    return [line if line.startswith("refused") else dict(way.split("=") for way in line.split())
            for line in lines]


def compare(capture, expression, answer, written, said):
    """The differences, as sentences."""
    chain = "protochain" in expression
    if written is None:
        return [] if isinstance(answer, str) else [f"tcpdump refuses it: {said}; Wirespool does not"]
    if isinstance(answer, str):
        return [f"Wirespool has {answer}; tcpdump does not refuse it"]
    kept = bytearray(b"0" * len(capture.packets))
    for number, data, length in records(written)[0]:
        assert capture.packets[number] == (data, length), "tcpdump wrote another packet"
        kept[number] = ord("1")
    expected, faults = kept.decode(), []
    if not chain and all(bits == expected for bits in answer.values()):
        return []
    for number, (data, _) in enumerate(capture.packets):
        ways = [way for way, bits in answer.items() if bits[number] != expected[number]]
        if ways and (not chain or capture.chains[number]):
            faults.append(f"packet {number} of {len(data)} bytes is {'' if kept[number] & 1 else 'not '}"
                          f"kept by tcpdump, unlike {' '.join(ways)}: {data[:128].hex()}")
    return faults


def check(pool, kept_packets, capture, expressions):
    """Returns the number of differences."""
    asked = pool.map(lambda e: tcpdump(
        capture.chains_path if "protochain" in e else capture.path, e), expressions)
    answers = ours(kept_packets, capture, expressions)
    shown, refused, found, chances = 0, 0, 0, 0
    for expression, answer, (written, said) in zip(expressions, answers, asked):
        faults = compare(capture, expression, answer, written, said)
        refused += written is None
        if faults and written is not None and chance(capture.path, expression):
            chances += 1
            continue
        found += len(faults)
        for fault in faults[:1]:
            if shown < SHOWN_MAX:
                print(f"FAIL {capture.name}: '{expression}': {fault}")
            shown += 1
    print(f"{'FAIL' if found else 'ok  '} {capture.name}: {len(capture.packets)} packets of link type "
          f"{capture.linktype}, {len(expressions)} expressions, {refused} of them refused by tcpdump"
          + (f", {chances} answered by chance" if chances else "")
          + (f": {shown} differ" if found else ""), flush=True)
    return found


def main():
    kept_packets, work, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    common = read_expressions("filter_expressions_links.txt")
    for_ethernet = read_expressions("filter_expressions.txt")
    found = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, linktype, packets in tcpdump_captures.captures() + foreign_captures(work):
            if names and name not in names:
                continue
            capture = Capture(work, name, linktype, packets)
            expressions = list(dict.fromkeys(common + (for_ethernet if linktype == 1 else [])))
            found += check(pool, kept_packets, capture, expressions)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
