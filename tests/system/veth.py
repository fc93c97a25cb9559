#!/usr/bin/python3
"""Traffic for veth.sh, and what became of it.

    veth.py serve                           the other end: a TCP sink and source, a UDP echo
    veth.py send IFACE KIND...              crosses the veth pair; see the functions send_KIND
    veth.py same ALL|IN|OUT WANTED GOT      two captures hold the same packets in the same order:
                                            bytes, both lengths
    veth.py cut N WANTED GOT                ... the same packets, of which the first N bytes are stored
    veth.py headers N WANTED GOT            ... the first N bytes behind what tshark calls headers
    veth.py flags FILE                      the pcapng file's epb_flags agree with each packet's source
    veth.py has WHAT FILE                   packets of the kind that a capture must have to prove anything

Captures are pcap files (of tcpdump or editcap). ALL is everything between the markers; IN and OUT
are one direction of the end with the MAC address of RIGHT.
"""

import socket
import struct
import subprocess
import sys
import time
import xml.sax

LEFT = bytes.fromhex("020000000001")
RIGHT = bytes.fromhex("020000000002")
NET4, NET6 = "10.9.0.%d", "fd09::%d"
MARKER = 0x88B5  # IEEE's type for experiments: not a packet of the kernel's own
TCP_PORT, DNS_PORT, ECHO_PORT = 5001, 53, 4000
UDP_SEGMENT = 103


def serve():
    import select

    poll = select.poll()
    sockets = {}
    for family, host in ((socket.AF_INET, NET4 % 2), (socket.AF_INET6, NET6 % 2)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, TCP_PORT))
        listener.listen(8)
        sockets[listener.fileno()] = ("listen", listener)
        for port in (DNS_PORT, ECHO_PORT):
            echo = socket.socket(family, socket.SOCK_DGRAM)
            echo.bind((host, port))
            sockets[echo.fileno()] = ("echo", echo)
    for fd in sockets:
        poll.register(fd, select.POLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            kind, s = sockets[fd]
            if kind == "echo":
                data, peer = s.recvfrom(65536)
                s.sendto(data[:3000], peer)
                continue
            connection, _ = s.accept()
            # Everything one way, then as much the other way.
            n = 0
            while data := connection.recv(1 << 20):
                n += len(data)
            connection.sendall(bytes(n))
            connection.close()


def tcp(family, host, n):
    s = socket.create_connection((host, TCP_PORT))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(bytes(range(256)) * (n // 256))
    s.shutdown(socket.SHUT_WR)
    while s.recv(1 << 20):
        pass
    s.close()


def send_tcp(_):
    # Both ways together less than the kernel's ring for us (8 MiB): nothing is lost on a busy machine.
    tcp(socket.AF_INET, NET4 % 2, 1_500_000)
    tcp(socket.AF_INET6, NET6 % 2, 500_000)


def send_pause(_):
    time.sleep(0.5)


def udp(family, host, sizes, ports, segment=0):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    if segment:
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
    for size in sizes:
        for port in ports:
            s.sendto(bytes(i & 0xFF for i in range(size)), (host, port))
            # One answer for each datagram that the segments are.
            for _ in range(-(-size // segment) if segment else 1):
                s.recvfrom(65536)
    s.close()


def send_udp(_):
    for family, host in ((socket.AF_INET, NET4 % 2), (socket.AF_INET6, NET6 % 2)):
        udp(family, host, [0, 1, 17, 18, 19, 100, 512, 1200, 1452, 1472], (DNS_PORT, ECHO_PORT))


def send_udpgso(_):
    udp(socket.AF_INET, NET4 % 2, [12000], (ECHO_PORT,), 1200)
    udp(socket.AF_INET6, NET6 % 2, [12000], (ECHO_PORT,), 1200)


def send_fragments(_):
    for family, host in ((socket.AF_INET, NET4 % 2), (socket.AF_INET6, NET6 % 2)):
        udp(family, host, [3000, 20000, 65000], (DNS_PORT, ECHO_PORT))


def send_large(_):
    udp(socket.AF_INET, NET4 % 2, [2000, 8000, 8972], (ECHO_PORT,))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    n = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while n >> 16:
        n = (n & 0xFFFF) + (n >> 16)
    return ~n & 0xFFFF


def udp_frame(tags, port, payload, source=LEFT, destination=RIGHT):
    header = struct.pack("!HHHH", 1025, port, 8 + len(payload), 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0,
                     socket.inet_aton("10.8.0.1"), socket.inet_aton("10.8.0.2"))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    ethernet = destination + source + b"".join(struct.pack("!HH", *tag) for tag in tags)
    return ethernet + struct.pack("!H", 0x0800) + ip + header + payload


def raw(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((iface, 0))
    return s


TAGS = (
    [(0x8100, 100)],
    [(0x8100, 0x2000)],  # a priority and no VLAN
    [(0x8100, 0xFFFF)],
    [(0x88A8, 200)],
    [(0x88A8, 200), (0x8100, 100)],
    [(0x8100, 200), (0x8100, 100)],
    [(0x88A8, 3), (0x88A8, 2), (0x8100, 1)],
)


def send_vlan(iface):
    s = raw(iface)
    for tags in TAGS:
        for port in (DNS_PORT, ECHO_PORT):
            for size in (18, 400, 1400):
                s.send(udp_frame(tags, port, bytes(size)))


def send_odd(iface):
    """Frames that are hardly any: short, LLC, with a trailer, a tag and nothing behind it."""
    s = raw(iface)
    ethernet = RIGHT + LEFT
    s.send(ethernet + b"\x90\x00")
    s.send(ethernet + b"\x08\x00" + b"\x45")
    s.send(ethernet + b"\x00\x10" + b"\x42\x42\x03" + bytes(13))
    s.send(udp_frame([], ECHO_PORT, b"abc") + bytes(20))
    # With less behind a tag than a type and two bytes, the kernel drops it before anyone sees it.
    s.send(ethernet + b"\x81\x00\x00\x07\x90\x00ab")


def send_longest(iface):
    """Frames of just the mtu, and with a tag more."""
    s = raw(iface)
    with open(f"/sys/class/net/{iface}/mtu", encoding="ascii") as f:
        mtu = int(f.read())
    for size in (mtu - 1, mtu):
        s.send(udp_frame([], ECHO_PORT, bytes(size - 28)))
        s.send(udp_frame([(0x8100, 5)], ECHO_PORT, bytes(size - 28)))


def send_flow(iface):
    """A hundred small frames."""
    s = raw(iface)
    for i in range(100):
        s.send(udp_frame([], ECHO_PORT, struct.pack("!I", i) + bytes(60)))


def send_begin(iface):
    raw(iface).send(RIGHT + LEFT + struct.pack("!H", MARKER) + b"begin" + bytes(60))


def send_end(iface):
    raw(iface).send(RIGHT + LEFT + struct.pack("!H", MARKER) + b"end" + bytes(60))
    time.sleep(0.1)  # the last of it is on its way through the CPU's backlog


def read_pcap(path):
    """[(bytes, original length)]"""
    with open(path, "rb") as f:
        data = f.read()
    order = "<" if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xd4\xc3\xb2\xa1") else ">"
    packets, at = [], 24
    while at < len(data):
        _, _, stored, wire = struct.unpack_from(order + "IIII", data, at)
        packets.append((data[at + 16 : at + 16 + stored], wire))
        at += 16 + stored
    return packets


def between(packets, path):
    """What came between the markers; of a marker, the header may be all that is stored."""
    marks = [i for i, (data, _) in enumerate(packets) if data[12:14] == struct.pack("!H", MARKER)]
    if len(marks) != 2:
        sys.exit(f"{path}: {len(packets)} packets, markers at {marks}")
    return packets[marks[0] + 1 : marks[1]]


def side(packets, direction):
    if direction == "ALL":
        return packets
    # Frames to everybody are from LEFT, too.
    return [p for p in packets if (p[0][6:12] == RIGHT) == (direction == "OUT")]


def expect(wanted, got, paths):
    for i, (w, g) in enumerate(zip(wanted, got)):
        if w != g:
            sys.exit(f"packet {i} differs: lengths {len(w[0])}, {w[1]} in {paths[0]}, {len(g[0])}, "
                     f"{g[1]} in {paths[1]}\n{w[0][:80].hex()}\n{g[0][:80].hex()}")
    if len(wanted) != len(got):
        sys.exit(f"{len(wanted)} packets in {paths[0]}, {len(got)} in {paths[1]}")
    if not wanted:
        sys.exit("there is nothing to compare")
    print(f"{len(got)} packets, longest {max(p[1] for p in got)} bytes")


def same(direction, *paths):
    expect(*(side(between(read_pcap(p), p), direction) for p in paths), paths)


def cut(n, *paths):
    wanted, got = (between(read_pcap(p), p) for p in paths)
    expect([(data[: int(n)], wire) for data, wire in wanted], got, paths)


class Headers(xml.sax.ContentHandler):
    """Where the last header ends, of each packet of tshark's PDML."""

    KNOWN = ("eth", "vlan", "ieee8021ad", "arp", "ip", "ipv6", "ipv6.fraghdr", "tcp", "udp", "icmp", "icmpv6")

    def __init__(self):
        super().__init__()
        self.ends, self.depth = [], 0

    def startElement(self, name, attrs):
        if name == "packet":
            self.ends.append(0)
        if name == "proto" and attrs["name"] in self.KNOWN:
            end = int(attrs["pos"]) + int(attrs["size"])
            # A trailer belongs to tshark's Ethernet, but is no header.
            if attrs["name"] == "eth":
                end = 14
            self.ends[-1] = max(self.ends[-1], end)


def header_ends(path):
    handler = Headers()
    options = ["ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"]
    command = ["tshark", "-r", path, "-T", "pdml"]
    for option in options:
        command += ["-o", option]
    for protocol in ("dns", "data"):
        command += ["--disable-protocol", protocol]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        xml.sax.parse(p.stdout, handler)
    return handler.ends


def headers(extra, *paths):
    wanted, got = (read_pcap(p) for p in paths)
    ends = header_ends(paths[0])
    if len(ends) != len(wanted):
        sys.exit(f"tshark read {len(ends)} packets of {len(wanted)}")
    wanted = [(data[: end + int(extra)], wire) for (data, wire), end in zip(wanted, ends)]
    expect(between(wanted, paths[0]), between(got, paths[1]), paths)


def pcapng_packets(path):
    """(bytes, epb_flags or None) of each enhanced packet."""
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 6:
            stored, = struct.unpack_from("<I", data, at + 20)
            option = at + 28 + (stored + 3) // 4 * 4
            flags = None
            while option < at + size - 4:
                code, length = struct.unpack_from("<HH", data, option)
                if code == 2:
                    flags, = struct.unpack_from("<I", data, option + 4)
                if code == 0:
                    break
                option += 4 + (length + 3) // 4 * 4
            yield data[at + 28 : at + 28 + stored], flags
        at += size


def flags(path, *wanted):
    counts = {1: 0, 2: 0}
    for data, value in pcapng_packets(path):
        own = 2 if data[6:12] == RIGHT else 1
        if value is None or value & 3 != own:
            sys.exit(f"epb_flags {value} on a packet from {data[6:12].hex()}")
        counts[own] += 1
    print(f"{counts[1]} in, {counts[2]} out")
    for direction in wanted:
        if counts[int(direction)] == 0:
            sys.exit("nothing in one direction")


def has(what, path):
    packets = [data for data, _ in read_pcap(path)]
    kinds = {
        "superframes": lambda d: len(d) > 20000 and d[12:14] == b"\x08\x00",
        "superframes6": lambda d: len(d) > 20000 and d[12:14] == b"\x86\xdd",
        "jumbo9000": lambda d: len(d) == 9014,
        "jumbo9216": lambda d: len(d) == 9230,
        "fragments": lambda d: d[12:14] == b"\x08\x00" and int.from_bytes(d[20:22], "big") & 0x1FFF,
        "vlan": lambda d: d[12:14] == b"\x81\x00",
        "qinq": lambda d: d[12:14] == b"\x88\xa8" and d[16:18] == b"\x81\x00",
    }
    n = sum(bool(kinds[what](d)) for d in packets)
    if n == 0:
        sys.exit(f"no {what} in {path}")
    print(f"{n} {what}")


def main(command, *args):
    if command == "send":
        for kind in args[1:]:
            globals()["send_" + kind](args[0])
        return
    {"serve": serve, "same": same, "cut": cut, "headers": headers,
     "flags": flags, "has": has}[command](*args)


main(*sys.argv[1:])
