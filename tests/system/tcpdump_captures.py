"""
The packets of tcpdump.py: what scapy makes, of many protocols, behind the headers of many link types,
some cut short, some with bytes turned over. The same with every run.
"""
import random
import struct

from scapy.all import (ARP, DNS, DNSQR, GRE, ICMP, IP, IPv6, SCTP, TCP, UDP, VXLAN, Dot1Q, Ether,
                       ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS,
                       IPOption_RR, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, PadN, Raw, SCTPChunkData, raw)
from scapy.contrib.geneve import GENEVE

MACS = [bytes.fromhex(text) for text in (
    "020000000001", "020000000002", "020000000003", "020000000004", "ffffffffffff",
    "01005e000001", "0180c2000000", "333300000001", "ab0000020000", "09002b000005")]
V4 = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "10.1.0.3", "10.0.1.255", "192.168.1.1",
      "192.168.1.2", "192.9.200.1", "172.16.5.4", "8.8.8.8", "127.0.0.1"]
V4_TO = V4 + ["224.0.0.1", "239.1.2.3", "255.255.255.255", "10.255.255.255", "0.0.0.0"]
V6 = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::9", "fe80::1", "1::1"]
V6_TO = V6 + ["ff02::1", "ff02::1:ff00:2"]
PORTS = [0, 20, 21, 22, 25, 53, 53, 67, 80, 80, 123, 443, 1024, 1500, 2000, 4789, 6081, 33024, 34984, 37120, 65535]

IPV4, IPV6, ARP_TYPE, RARP, MPLS, PPPOED, PPPOES = (
    0x0800, 0x86DD, 0x0806, 0x8035, 0x8847, 0x8863, 0x8864)
OTHER_TYPES = [0x88CC, 0x6003, 0x6004, 0x6002, 0x6001, 0x6007, 0x809B, 0x80F3, 0x8137, 0x9000,
               0x88F7, 0x0600, 0x05DC]


class Maker:
    """Payloads, as (type as Ethernet has it, bytes); of type None they begin with 802.2's header."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def bytes(self, most):
        return self.rng.randbytes(self.rng.randrange(most + 1))

    def port(self):
        r = self.rng
        return r.randrange(65536) if r.random() < 0.2 else r.choice(PORTS)

    def tcp(self):
        r = self.rng
        options = r.choice([[], [], [("MSS", 1460)], [("Timestamp", (1, 2)), ("NOP", None)]])
        body = r.choice([b"", b"GET / HTTP/1.1\r\n", b"\x16\3\1\0\x20", self.bytes(60)])
        return TCP(sport=self.port(), dport=self.port(), flags=r.randrange(512), options=options,
                   seq=r.getrandbits(32), ack=r.getrandbits(32), window=r.getrandbits(16)) / body

    def udp(self):
        body = Raw(self.bytes(70))
        if self.rng.random() < 0.3:
            body = DNS(qr=self.rng.randrange(2), qd=DNSQR(qname="example.org"))
        return UDP(sport=self.port(), dport=self.port()) / body

    def ethernet(self, depth):
        r = self.rng
        kind, body = self.network(depth)
        tags = r.choice([0, 0, 1, 2])
        return Raw(ethernet(r, kind, body, [(0x8100, r.choice([5, 100, 200]))] * tags))

    def tunnel(self, depth):
        r = self.rng
        which = r.randrange(4)
        if which == 0:
            return UDP(sport=self.port(), dport=4789) / VXLAN(vni=5) / self.ethernet(depth)
        if which == 1:
            kind, body = self.network(depth)
            return GRE(proto=kind or 0x6558, key_present=r.randrange(2), key=7) / Raw(body)
        options = b"\x01\x02\x03\x01abcd" * r.randrange(3)
        head = dict(vni=r.choice([0xB, 0xB, 1]), optionlen=len(options) // 4,
                    critical=r.randrange(2), options=options)
        if which == 2:
            return UDP(dport=6081) / GENEVE(proto=0x6558, **head) / self.ethernet(depth)
        kind, body = self.network(depth)
        return UDP(dport=6081) / GENEVE(proto=kind or 0x6558, **head) / Raw(body)

    def ipv4_body(self, depth):
        """(protocol, what follows)"""
        r = self.rng
        which = r.randrange(20)
        if which < 6:
            return 6, self.tcp()
        if which < 11:
            return 17, self.udp()
        if which == 11:
            return 132, SCTP(sport=self.port(), dport=self.port()) / SCTPChunkData(data=b"x" * 9)
        if which == 12:
            return 1, ICMP(type=r.choice([0, 3, 5, 8, 11]), code=r.randrange(3)) / self.bytes(40)
        if which == 13:
            return 2, Raw(r.choice([b"\x11", b"\x16", b"\x17", b"\x22"]) + b"\0" * 3 + self.bytes(8))
        if which == 14:
            ah = struct.pack("!BBHII", r.choice([6, 17]), 4, 0, 1, 2) + b"\0" * 12
            return 51, Raw(ah + raw(self.tcp()))
        if depth < 2 and which < 18:
            if which == 15:
                kind, body = self.network(depth + 1, r.choice([4, 6]))
                return 4 if kind == IPV4 else 41, Raw(body)
            body = self.tunnel(depth + 1)
            return 47 if isinstance(body, GRE) else 17, body
        return r.choice([9, 50, 103, 112, 89, 0, 59]), Raw(b"\x21\1" + self.bytes(40))

    def ipv6_body(self, depth):
        """(next header, what follows)"""
        r = self.rng
        which = r.randrange(8)
        if which == 0:
            return 58, r.choice([ICMPv6EchoRequest(), ICMPv6EchoReply(), ICMPv6DestUnreach(),
                                 ICMPv6ND_NS(tgt="fe80::1")])
        if which == 1:
            return 0, IPv6ExtHdrHopByHop(options=PadN(optdata=b"\0" * r.randrange(9))) / self.tcp()
        if which == 2:
            return 44, IPv6ExtHdrFragment(m=1, offset=r.choice([0, 0, 185])) / self.udp()
        if which == 3:
            return 43, IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / IPv6ExtHdrDestOpt() / self.udp()
        while True:
            protocol, body = self.ipv4_body(depth)
            if protocol not in (1, 2, 0):
                return protocol, body

    def network(self, depth=0, version=None):
        """IPv4, IPv6, and at the outside other things, too."""
        r = self.rng
        version = version or (r.choice([4, 4, 4, 6, 6]) if r.random() < 0.9 or depth else 0)
        if version == 4:
            protocol, body = self.ipv4_body(depth)
            options = IPOption_RR() if r.random() < 0.15 else []
            fragment = r.choice([dict(flags="MF"), dict(frag=185), dict(frag=1, flags="MF")])
            head = IP(src=r.choice(V4), dst=r.choice(V4_TO), proto=protocol, options=options,
                      ttl=r.choice([0, 1, 4, 31, 32, 64, 128, 255]), tos=r.choice([0, 0xB8]),
                      id=r.getrandbits(16), **(fragment if r.random() < 0.15 else {}))
            return IPV4, raw(head / body)
        if version == 6:
            header, body = self.ipv6_body(depth)
            return IPV6, raw(IPv6(src=r.choice(V6), dst=r.choice(V6_TO), nh=header,
                                  hlim=r.choice([1, 64, 255])) / body)
        return self.other()

    def other(self):
        r = self.rng
        which = r.randrange(4)
        if which == 0:
            kind = r.choice([ARP_TYPE, RARP])
            return kind, raw(ARP(op=r.randrange(1, 5), psrc=r.choice(V4), pdst=r.choice(V4)))
        if which == 1:
            return r.choice(OTHER_TYPES), r.choice([b"\x02\x04\x02", b"\1", b"\0"]) + self.bytes(60)
        if which == 2:
            return None, self.llc()
        return PPPOED, b"\x11\x09\0\0\0\4\1\1\0\0"

    def llc(self):
        """STP, IS-IS and its kin, NetBEUI, IPX with and without 802.2, SNAP, and all kinds of PDU."""
        r = self.rng
        iso = bytes([r.choice([0x81, 0x82, 0x83, 0x83, 0x83]), 27, 1, 0,
                     r.choice([15, 16, 17, 18, 20, 24, 25, 26, 27]), 1, 0, 0])
        control = r.choice([b"\x03", b"\x63", b"\x43", b"\x53", b"\x6f", b"\x7f", b"\xe3", b"\xaf",
                            b"\x87", b"\x0f", b"\x01\x02", b"\x05\x02", b"\x09\x02", b"\x04\x06"])
        head = r.choice([b"\x42\x42\x03\0\0", b"\xfe\xfe\x03" + iso, b"\xfe\xfe\x03" + iso, b"\xf0\xf0" + control,
                         b"\xe0\xe0\x03\xff\xff", b"\xff\xff\0\x20", b"\xaa\xaa\x03\0\0\0\x80\xf3",
                         b"\xaa\xaa\x03\x08\0\7\x80\x9b", b"\xaa\xaa\x03\0\0\0\x81\x37",
                         b"\6\6" + control, b"\x04\x05" + control])
        return head + self.bytes(60)

    def labelled(self, kind, body):
        """Now and then behind MPLS labels, or in PPPoE."""
        r = self.rng
        if kind in (IPV4, IPV6) and r.random() < 0.12:
            for bottom in [1] + [0] * r.randrange(3):
                label = r.choice([16, 1024, 100000, 3])
                body = struct.pack("!I", label << 12 | bottom << 8 | 64) + body
            return MPLS, body
        if kind in (IPV4, IPV6) and r.random() < 0.08:
            session = struct.pack("!BBHH", 0x11, 0, r.choice([0x27, 1]), len(body) + 2)
            return PPPOES, session + (b"\0\x21" if kind == IPV4 else b"\0\x57") + body
        return kind, body


# --- the headers of link types ------------------------------------------------------------------


def ethernet(r, kind, body, tags=()):
    head = r.choice(MACS) + r.choice(MACS[:4])
    for tag in tags:
        head += struct.pack("!HH", tag[0], tag[1] | r.randrange(8) << 13)
    if kind is None:
        kind = len(body)
    frame = head + struct.pack("!H", kind) + body
    return frame.ljust(60, b"\0") if r.random() < 0.7 else frame


def ethernet_tagged(r, kind, body):
    tags = []
    if r.random() < 0.3:
        types = r.choice([[0x8100], [0x88A8, 0x8100], [0x8100, 0x8100], [0x9100], [0x8100] * 3])
        tags = [(t, r.choice([5, 100, 200, 300])) for t in types]
    return ethernet(r, kind, body, tags)


def llc(kind, body):
    return body if kind is None else b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + body


def family(r, kind):
    v6 = r.choice([10, 24, 28, 30])
    return {IPV4: 2, IPV6: v6, None: 7}.get(kind, 2 if r.random() < 0.5 else 99)


def ppp_protocol(kind):
    return {IPV4: 0x21, IPV6: 0x57, MPLS: 0x281, None: 0x23, 0x6003: 0x27, 0x809B: 0x29,
            0x8137: 0x2B}.get(kind, 0xC021)


def ip_only(r, kind, body):
    return body


def null(r, kind, body):
    return struct.pack("<I", family(r, kind)) + body


def loop(r, kind, body):
    return struct.pack("!I", family(r, kind)) + body


def enc(r, kind, body):
    return struct.pack("<III", family(r, kind), 1, 0) + body


def cooked(r, kind, body):
    head = struct.pack("!HHH", r.randrange(5), r.choice([1, 772, 512]), 6) + r.choice(MACS) + b"\0\0"
    return head + struct.pack("!H", 4 if kind is None else kind) + body


def cooked2(r, kind, body):
    head = struct.pack("!HHIHBB", 4 if kind is None else kind, 0, r.randrange(1, 4), 1,
                       r.randrange(5), 6)
    return head + r.choice(MACS) + b"\0\0" + body


def ppp(r, kind, body):
    framing = b"\xff\x03" if r.random() < 0.8 else b""
    return framing + struct.pack("!H", ppp_protocol(kind)) + body


def ppp_direction(r, kind, body):
    return bytes([r.randrange(2), 3]) + struct.pack("!H", ppp_protocol(kind)) + body


def ppp_ether(r, kind, body):
    return struct.pack("!BBHHH", 0x11, 0, 0x27, len(body) + 2, ppp_protocol(kind)) + body


def c_hdlc(r, kind, body):
    kind = 0xFEFE if kind is None else kind
    return r.choice([b"\x0f\0", b"\x8f\0"]) + struct.pack("!H", kind) + body


def frame_relay(r, kind, body):
    nlpid = {IPV4: b"\xcc", IPV6: b"\x8e", None: b"\x83"}.get(kind, b"\0\x80\0\0\0\x88\xcc")
    return b"\x18\x41\x03" + nlpid + body


def fddi(r, kind, body):
    return r.choice([b"\x50", b"\x54", b"\x4f"]) + r.choice(MACS) + r.choice(MACS[:4]) + llc(kind, body)


def token_ring(r, kind, body):
    return b"\x10\x40" + r.choice(MACS) + r.choice(MACS[:4]) + llc(kind, body)


def atm_llc(r, kind, body):
    return llc(kind, body)


def sun_atm(r, kind, body):
    traffic, vpi, vci = r.choice([(0x02, 0, 33), (0x02, 1, 33), (0x01, 0, 34), (0x86, 0, 5),
                                  (0x05, 0, 16), (0x06, 0, 5), (0, 0, r.randrange(8))])
    if traffic & 0x0F == 1:  # LANE
        return struct.pack("!BBH", traffic, vpi, vci) + b"\0\1" + ethernet(r, kind, body)
    if traffic & 0x0F == 6:
        body = b"\x09\2\0\1" + bytes([r.choice([5, 2, 7, 0x0F, 0x4D, 0x5A])]) + body
        return struct.pack("!BBH", traffic, vpi, vci) + body
    return struct.pack("!BBH", traffic, vpi, vci) + llc(kind, body)


def fibre_channel(r, kind, body):
    return b"\0\0" + r.choice(MACS) + b"\0\0" + r.choice(MACS[:4]) + llc(kind, body)


def firewire(r, kind, body):
    kind = 0 if kind is None else kind
    return r.randbytes(16) + struct.pack("!H", kind) + body


def arcnet(r, kind, body):
    protocol = {IPV4: 212, IPV6: 196, ARP_TYPE: 213, RARP: 214}.get(kind, 240)
    return bytes([r.randrange(4), r.choice([0, 2]), protocol, 0, 0, 1]) + body


def arcnet_linux(r, kind, body):
    protocol = {IPV4: 212, IPV6: 196, ARP_TYPE: 213, RARP: 214}.get(kind, 240)
    return bytes([r.randrange(4), r.choice([0, 2]), 0, 0, protocol, 0, 0, 1]) + body


def slip(r, kind, body):
    return bytes([r.randrange(2)]) + bytes(15) + body


def pflog(r, kind, body):
    family_of = 24 if kind == IPV6 else 2
    head = struct.pack("!BBBB16s16sII", 61, family_of, r.randrange(2), r.randrange(6),
                       r.choice([b"eth0", b"em1"]), r.choice([b"", b"anchor"]),
                       r.randrange(4), r.randrange(3))
    return head + bytes(16) + bytes([r.randrange(3)]) + bytes(3) + body


def wireless(r, kind, body):
    """Data of all directions, with QoS and without, management, control."""
    which = r.random()
    a = [r.choice(MACS[:5]) for _ in range(4)]
    if which < 0.15:
        subtype = r.choice([0, 1, 2, 4, 5, 8, 10, 12])
        return bytes([subtype << 4, r.choice([0, 0x40])]) + b"\0\0" + b"".join(a[:3]) + bytes(14)
    if which < 0.25:
        return bytes([r.choice([10, 11, 12, 13, 14]) << 4 | 4, 0]) + b"\0\0" + a[0] + a[1]
    subtype, way = r.choice([0, 0, 4, 8, 8, 12, 5]), r.randrange(4)
    head = bytes([subtype << 4 | 8, way | r.choice([0, 0, 8, 0x40])]) + b"\0\0"
    head += b"".join(a[:3]) + b"\x10\0" + (a[3] if way == 3 else b"") + (b"\0\0" if subtype & 8 else b"")
    return head + (b"" if subtype & 4 else llc(kind, body))


def radiotap(r, kind, body):
    fields = r.choice([(0, b""), (2, b"\0"), (2, b"\x20"), (0x6F, bytes(8) + b"\x10\2\x6c\x09\xa0\0")])
    frame = wireless(r, kind, body)
    if fields[1][:1] == b"\x20" and frame[0] & 0x0C == 8:  # the body begins at a multiple of 4
        head = 24 + (6 if frame[1] & 3 == 3 else 0) + (2 if frame[0] & 0x80 else 0)
        frame = frame[:head] + b"\0" * (-head % 4) + frame[head:]
    return struct.pack("<BBHI", 0, 0, 8 + len(fields[1]), fields[0]) + fields[1] + frame


def prism(r, kind, body):
    return struct.pack("!II16s", 0x44, 144, b"wlan0") + bytes(120) + wireless(r, kind, body)


def avs(r, kind, body):
    return struct.pack("!II", 0x80211001, 64) + bytes(56) + wireless(r, kind, body)


def ppi(r, kind, body):
    field = r.choice([b"", struct.pack("<HH", 2, 20) + bytes(20)])
    return struct.pack("<BBHI", 0, 0, 8 + len(field), 105) + field + wireless(r, kind, body)


def mtp2(r, kind, body):
    return bytes([0, 0, r.choice([0, 1, 2, 3, 63]), r.choice([3, 0x83, 0xC5])]) + r.randbytes(6) + body


def net_analyzer(r, kind, body):
    return b"\0\0\0\0" + ethernet_tagged(r, kind, body)


def localtalk(r, kind, body):
    return bytes([1, 2, r.choice([1, 2])]) + bytes(5) + bytes([22]) + body


def juniper_ether(r, kind, body):
    return b"MGC" + bytes([r.randrange(4)]) + bytes(r.choice([0, 2])) + ethernet(r, kind, body)


def junk(r, kind, body):
    return r.randbytes(r.randrange(20)) + body


# name, link type as a file has it, header, packets
LINKS = [
    ("ethernet", 1, ethernet_tagged, 4000),
    ("raw", 101, ip_only, 1000),
    ("null", 0, null, 1000),
    ("loop", 108, loop, 600),
    ("cooked", 113, cooked, 1000),
    ("cooked2", 276, cooked2, 1000),
    ("radiotap", 127, radiotap, 1000),
    ("wireless", 105, wireless, 600),
    ("prism", 119, prism, 300),
    ("avs", 163, avs, 300),
    ("ppi", 192, ppi, 300),
    ("ppp", 9, ppp, 600),
    ("ppp_serial", 50, ppp, 300),
    ("ppp_ether", 51, ppp_ether, 300),
    ("ppp_direction", 204, ppp_direction, 300),
    ("c_hdlc", 104, c_hdlc, 300),
    ("frame_relay", 107, frame_relay, 300),
    ("fddi", 10, fddi, 300),
    ("token_ring", 6, token_ring, 300),
    ("atm_llc", 100, atm_llc, 300),
    ("sun_atm", 123, sun_atm, 300),
    ("fibre_channel", 122, fibre_channel, 300),
    ("firewire", 138, firewire, 300),
    ("arcnet", 7, arcnet, 300),
    ("arcnet_linux", 129, arcnet_linux, 300),
    ("slip", 8, slip, 300),
    ("enc", 109, enc, 300),
    ("pflog", 117, pflog, 300),
    ("ipv4", 228, ip_only, 300),
    ("ipv6", 229, ip_only, 300),
    ("mtp2", 140, mtp2, 300),
    ("net_analyzer", 240, net_analyzer, 300),
    ("localtalk", 114, localtalk, 300),
    ("juniper_ether", 178, juniper_ether, 300),
    ("user", 147, junk, 300),
]


# --- captures -----------------------------------------------------------------------------------


def disturb(r, data):
    """One packet in four: bytes turned over, or cut short, or something behind its end."""
    which = r.random()
    data = bytearray(data)
    if which < 0.12:
        for _ in range(r.choice([1, 1, 2, 8])):
            if data:
                data[r.randrange(min(len(data), 80))] = r.randrange(256)
    elif which < 0.22:
        del data[r.randrange(len(data) + 1):]
    elif which < 0.25:
        data += r.randbytes(r.randrange(1, 300))
    return bytes(data)


def payloads(count):
    maker = Maker(1)
    made = [maker.labelled(*maker.network()) for _ in range(count)]
    for length in (1473, 8972, 16384, 40000, 64000):  # jumbo frames, and what lo and offloads bring
        packet = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=80, dport=2000) / Raw(b"\5" * length)
        made.append((IPV4, raw(packet)))
    return made


def captures():
    """[(name, link type, [(bytes, original length)])]"""
    made, captured = payloads(1500), []
    for name, linktype, header, count in LINKS:
        r = random.Random(linktype)
        # Every jumbo frame is in it, and each packet without a byte or with a few.
        picked = made[-5:] + [r.choice(made) for _ in range(count - 5)]
        packets = [disturb(r, header(r, kind, body)) for kind, body in picked]
        packets[5:8] = [b"", packets[5][:1], packets[6][:13]]
        captured.append((name, linktype, [(p, len(p)) for p in packets]))
    whole = captured[0][2][:1500]
    captured.append(("snaplen", 1, [(p[:60 + n % 80], length) for n, (p, length) in enumerate(whole)]))
    return captured
