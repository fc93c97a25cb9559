#!/usr/bin/python3
"""
Capture files for replay.sh: makes them byte by byte, and compares what was replayed with what
came out.

    replay.py make DIR              writes the files, and prints: NAME PACKETS LINKTYPE
    replay.py compare IN OUT...     the packets of all OUT, one after the other, are those of IN
    replay.py cut BYTES IN OUT...   ... cut to so many bytes, the original lengths as they were

A comparison is made three times, by readers that have nothing in common: the one below, libpcap
(tcpdump -w), and Wireshark's (editcap); compare-WHAT leaves out those that cannot see WHAT.
Exit: 0 equal; 1 different, and how on stdout.
"""
import os
import struct
import subprocess
import sys
import tempfile

SECOND = 1_700_000_000
US, NS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34


# --- making -------------------------------------------------------------------------------------


def frame(n, length):
    """Bytes that differ from frame to frame and from place to place."""
    ethernet = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\xb5"
    body = bytes((n * 31 + i * 7 + (i >> 8)) & 0xFF for i in range(max(0, length - 14)))
    return (ethernet + body)[:length]


def pcap(packets, linktype=1, magic=US, order="<", snaplen=262144):
    """packets: (second, fraction, bytes, original length)"""
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype)]
    for second, fraction, data, length in packets:
        out.append(struct.pack(order + "IIII", second, fraction, len(data), length))
        if magic == MODIFIED:
            out.append(struct.pack(order + "IHBB", 2, 0x0800, 0, 0))
        out.append(data)
    return b"".join(out)


def block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order="<"):
    body = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(order, 0x0A0D0D0A, body + option(order, 1, b"a comment") + option(order, 0, b""))


def interface(order="<", linktype=1, snaplen=262144, tsresol=6):
    body = struct.pack(order + "HHI", linktype, 0, snaplen)
    return block(order, 1, body + option(order, 9, bytes([tsresol])) + option(order, 0, b""))


def enhanced(order, number, ticks, data, length, options=b""):
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
    return block(order, 6, head + data + b"\0" * (-len(data) % 4) + options)


def pcapng(order, lengths):
    """Three interfaces with clocks of their own, and blocks between that are no packets."""
    out = [section(order), interface(order), interface(order, tsresol=9), interface(order)]
    for n, length in enumerate(lengths):
        per_second = 10**9 if n % 3 == 1 else 10**6
        comment = option(order, 1, b"looked at") + option(order, 2, struct.pack(order + "I", 1))
        out.append(enhanced(order, n % 3, SECOND * per_second + n, frame(n, length), length + n % 2,
                            comment + option(order, 0, b"") if n % 5 == 0 else b""))
        if n % 4 == 0:
            out.append(block(order, 4, option(order, 0, b"")))  # name resolution
            out.append(block(order, 0x80001234, b"whatever"))  # local use
            out.append(block(order, 5, struct.pack(order + "III", n % 3, 0, 0)))  # statistics
    return b"".join(out)


def plain(lengths, step=1000):
    return [(SECOND + i * step // 10**6, i * step % 10**6, frame(i, n), n)
            for i, n in enumerate(lengths)]


LINKTYPES = {
    "null": 0, "ppp": 9, "ppp_hdlc": 50, "atm_rfc1483": 100, "raw": 101, "slip_bsdos": 102,
    "ppp_bsdos": 103, "c_hdlc": 104, "ieee802_11": 105, "atm_clip": 106, "frame_relay": 107,
    "loop": 108, "linux_sll": 113, "pflog": 117, "radiotap": 127, "user0": 147,
    "usb_linux": 189, "ieee802_15_4": 195, "usb_linux_mmapped": 220, "can_socketcan": 227,
    "ipv4": 228, "ipv6": 229, "netlink": 253, "linux_sll2": 276, "dsa_tag_brcm": 281,
}


def usb_linux(order, n):
    """A struct mon_bin_hdr of 48 bytes: libpcap and Wireshark turn it to the reader's order."""
    return struct.pack(order + "QBBBBHBBqiiII8s", 0x1122334455667788 + n, 0x53, 3, 1, 1, 2, 0x2D,
                       0x2D, SECOND, 5, -115, 16, 0, b"\0" * 8)


def files():
    small = plain([60, 61, 62, 63, 64, 1514] * 50)
    short = plain(list(range(0, 14)) * 3)
    whole = {
        "eth_us": pcap(small),
        "eth_ns": pcap(small, magic=NS),
        "eth_us_big_endian": pcap(small, order=">"),
        "eth_ns_big_endian": pcap(small, magic=NS, order=">"),
        "eth_modified": pcap(small, magic=MODIFIED),
        "pcapng": pcapng("<", [60, 64, 65, 66, 67, 1514] * 20),
        "pcapng_big_endian": pcapng(">", [60, 64, 65, 66, 67, 1514] * 20),
        "pcapng_two_sections": pcapng("<", [60, 64]) + pcapng("<", [65, 66]),
        "pcapng_simple_packets": section() + interface(snaplen=100) + b"".join(
            block("<", 3, struct.pack("<I", n) + frame(n, min(n, 100))) for n in range(90, 110)),
        "length_0": pcap([(SECOND, i, b"", 0) for i in range(200)]),
        "length_0_of_many": pcap([(SECOND, i, b"", 1500) for i in range(200)]),
        "runts": pcap(short),
        "runts_raw_ip": pcap([(s, u, bytes(n), n) for s, u, d, n in short], linktype=101),
        "jumbo": pcap(plain([9216, 9000, 60, 9215, 9217] * 40)),
        "length_65535": pcap(plain([65535, 65534, 65536, 60] * 8)),
        "length_262144": pcap(plain([262144, 262143, 60, 131072] * 5)),
        "cut": pcap([(s, u, d[:48], n) for s, u, d, n in small]),
        "cut_by_much": pcap([(SECOND, i, frame(i, 14), 0xFFFFFFFF - i) for i in range(50)]),
        "steps_back": pcap([(SECOND - i * 7 % 100, i * 999 % 10**6, frame(i, 60), 60)
                            for i in range(200)]),
        "times_at_the_ends": pcap([(s, 999999, frame(1, 60), 60)
                                   for s in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 5)]),
        "empty": pcap([]),
        "pcapng_without_packets": section() + interface(),
    }
    for name, number in LINKTYPES.items():
        data = [frame(i, 20 + i) for i in range(64)]
        if name == "usb_linux":
            data = [usb_linux("<", i) for i in range(64)]
        elif name == "usb_linux_mmapped":
            data = [usb_linux("<", i) + struct.pack("<IIII", 0, 0, 0, 0) for i in range(64)]
        whole["link_" + name] = pcap([(SECOND, i, d, len(d)) for i, d in enumerate(data)], number)
    return whole


def refused_or_short():
    """What cannot be replayed whole; replay.sh says what is to come of each."""
    ten = pcap(plain([60] * 10))
    return {
        "bad_no_bytes": b"",
        "bad_text": b"this is no capture file\n" * 10,
        "bad_header_torn": ten[:20],
        "bad_record_torn": ten[:-60 - 8],
        "bad_data_torn": ten[:-1],
        "bad_pcapng_torn": pcapng("<", [60] * 10)[:-3],
        "bad_two_linktypes": section() + interface() + enhanced("<", 0, 1, frame(1, 60), 60)
        + interface(linktype=101) + enhanced("<", 1, 2, frame(2, 60), 60),
        "bad_two_snaplens": section() + interface() + enhanced("<", 0, 1, frame(1, 60), 60)
        + interface(snaplen=65535) + enhanced("<", 1, 2, frame(2, 60), 60),
        "bad_linktype_too_wide": pcap(plain([60]), linktype=0x10001),
        "bad_longer_than_carried": pcap(plain([60, 300000, 61, 262145, 62]), linktype=249,
                                        snaplen=1 << 20),
        "bad_length_below_captured": pcap([(SECOND, i, frame(i, 60), 20) for i in range(10)]),
        "bad_above_snaplen": pcap(plain([60, 100, 200]), snaplen=96),
        "usb_big_endian": pcap([(SECOND, i, usb_linux(">", i), 48) for i in range(20)], 189,
                               order=">"),
    }


def make(folder):
    for name, content in {**files(), **refused_or_short()}.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    for name, content in files().items():
        linktype, packets = parse(content)
        print(name, len(packets), linktype)


# --- reading ------------------------------------------------------------------------------------


def parse_pcap(raw):
    order = "<" if raw[:4] in (struct.pack("<I", m) for m in (US, NS, MODIFIED)) else ">"
    magic, linktype = struct.unpack_from(order + "I", raw)[0], struct.unpack_from(order + "I", raw, 20)[0]
    packets, at = [], 24
    while at < len(raw):
        captured, length = struct.unpack_from(order + "II", raw, at + 8)
        at += 24 if magic == MODIFIED else 16
        packets.append((captured, length, raw[at:at + captured]))
        at += captured
    return linktype, packets


def parse_pcapng(raw):
    linktype, snaplens, packets, at, order = None, [], [], 0, "<"
    while at < len(raw):
        if raw[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if raw[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            snaplens = []
        kind, size = struct.unpack_from(order + "II", raw, at)
        if kind == 1:
            this, _, snaplen = struct.unpack_from(order + "HHI", raw, at + 8)
            assert linktype in (None, this), "link types differ"
            linktype = this
            snaplens.append(snaplen)
        elif kind == 6:
            captured, length = struct.unpack_from(order + "II", raw, at + 20)
            packets.append((captured, length, raw[at + 28:at + 28 + captured]))
        elif kind == 3:
            length = struct.unpack_from(order + "I", raw, at + 8)[0]
            captured = min(length, snaplens[0])
            packets.append((captured, length, raw[at + 12:at + 12 + captured]))
        at += size
    return linktype, packets


def parse(raw):
    return parse_pcapng(raw) if raw[:4] == b"\x0a\x0d\x0d\x0a" else parse_pcap(raw)


def by_us(path):
    with open(path, "rb") as f:
        return parse(f.read())


def by_libpcap(path):
    done = subprocess.run(["tcpdump", "-n", "-r", path, "-w", "-"], capture_output=True)
    assert done.returncode == 0, "tcpdump: " + done.stderr.decode(errors="replace")
    return parse(done.stdout)


def by_wireshark(path):
    with tempfile.TemporaryDirectory() as folder:
        to = os.path.join(folder, "converted")
        done = subprocess.run(["editcap", "-F", "pcapng", path, to], capture_output=True)
        assert done.returncode == 0, "editcap: " + done.stderr.decode(errors="replace")
        return by_us(to)


def compare(source, outs, cut=None, readers=(by_us, by_libpcap, by_wireshark)):
    for reader in readers:
        linktype, expected = reader(source)
        if cut is not None:
            expected = [(min(c, cut), n, d[:cut]) for c, n, d in expected]
        got = []
        for out in sorted(outs):
            this, packets = reader(out)
            if this != linktype and (this is not None or packets):
                return f"{reader.__name__}: link type {this}, not {linktype}"
            got += packets
        if len(got) != len(expected):
            return f"{reader.__name__}: {len(got)} packets, not {len(expected)}"
        for n, (is_, ought) in enumerate(zip(got, expected)):
            if is_[:2] != ought[:2]:
                return f"{reader.__name__}: packet {n}: lengths {is_[:2]}, not {ought[:2]}"
            if is_[2] != ought[2]:
                return f"{reader.__name__}: packet {n}: other bytes"
    return None


def main(arguments):
    what = arguments.pop(0)
    if what == "make":
        return make(arguments[0])
    cut = int(arguments.pop(0)) if what == "cut" else None
    readers = {
        "compare": (by_us, by_libpcap, by_wireshark),
        "cut": (by_us, by_libpcap, by_wireshark),
        "compare-turned": (by_libpcap, by_wireshark),  # pseudo headers in the other byte order
        "compare-unknown": (by_us, by_libpcap),  # to Wireshark
        "compare-libpcap": (by_libpcap,),
    }[what]
    source, outs = arguments[0], arguments[1:]
    try:
        difference = compare(source, outs, cut, readers)
    except AssertionError as fault:
        difference = str(fault)
    if difference is not None:
        print(difference)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
