"""
The packets of filters.py, by scapy and by hand, each with what it is, said where it is made: so what
a filter should keep of them follows from how they were made, and from nothing that the program says.
"""
import collections

from scapy.all import (ARP, GRE, ICMP, IP, IPerror, IPv6, LLC, TCP, UDP, UDPerror, VXLAN, Dot1AD, Dot1Q, Ether,
                       ICMPv6EchoRequest, IPOption_RR, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PPPoE, Raw, raw, wrpcap)
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS

# tags      what stands between Ethernet and IP: "vlan", "mpls", "pppoe"; vid: of the outermost tag
# version   4 or 6, 0: no IP; protocol: "udp", "tcp" or another; dns: UDP from or to port 53
# later     a fragment, not the first one of its datagram; of what dns says. orphan: the first one is not there
# extended  IPv6 with extension headers before UDP
# tunnel    what carries it; all but tags is said of the packet inside
Made = collections.namedtuple("Made", "name tags vid version protocol dns later orphan extended tunnel")

E = Ether(src="02:00:00:00:00:99", dst="02:00:00:00:00:98")
V4 = IP(src="10.0.0.1", dst="10.0.0.2")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
ASK, ANSWER, WEB = UDP(sport=40000, dport=53), UDP(sport=53, dport=40000), UDP(sport=40000, dport=80)
BODY = Raw(b"x" * 40)

packets = []  # (Made, bytes behind the Ethernet addresses)


def add(name, layers, tags=(), vid=None, version=4, protocol="udp", dns=False, later=False, orphan=False,
        extended=False, tunnel=None):
    """layers: what follows the two addresses, as bytes, or as scapy's layers from Ethernet on."""
    data = layers if isinstance(layers, bytes) else raw(layers)[12:]
    packets.append((Made(name, tags, vid, version, protocol, dns, later, orphan, extended, tunnel), data))


def ppp(protocol, layers):
    return PPPoE(sessionid=1) / Raw(protocol.to_bytes(2, "big") + raw(layers))


def add_plain():
    for what, udp in (("ask", ASK), ("answer", ANSWER)):
        add(f"IPv4 {what}", E / V4 / udp / BODY, dns=True)
        add(f"IPv6 {what}", E / V6 / udp / BODY, dns=True, version=6)
    add("IPv4 web", E / V4 / WEB / BODY)
    add("IPv6 web", E / V6 / WEB / BODY, version=6)
    add("TCP 53", E / V4 / TCP(sport=40000, dport=53), protocol="tcp")
    add("TCP 53 of IPv6", E / V6 / TCP(sport=40000, dport=53), protocol="tcp", version=6)
    add("IPv4 options", E / IP(options=IPOption_RR(length=7, routers=["0.0.0.0"])) / ASK / BODY, dns=True)
    add("bytes like a port 53 behind a web header", E / V4 / WEB / Raw(b"\0\x35\0\x35" * 10))
    add("ICMP about a question", E / V4 / ICMP(type=3, code=3) / IPerror(raw(V4)) / UDPerror(sport=40000, dport=53),
        protocol="icmp")
    add("ICMP", E / V4 / ICMP() / BODY, protocol="icmp")
    add("ICMPv6", E / V6 / ICMPv6EchoRequest(), version=6, protocol="icmp6")
    add("ARP", E / ARP(), version=0, protocol="arp")
    add("LLC", Ether(src=E.src, dst=E.dst, type=20) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(b"x" * 17), version=0,
        protocol="llc")


def add_tagged():
    tagged = (
        ("VLAN 100", Dot1Q(vlan=100), ("vlan",), 100),
        ("VLAN 200", Dot1Q(vlan=200), ("vlan",), 200),
        ("priority tag", Dot1Q(vlan=0, prio=5), ("vlan",), 0),
        ("QinQ", Dot1AD(vlan=100) / Dot1Q(vlan=300), ("vlan", "vlan"), 100),
        ("two 802.1Q tags", Dot1Q(vlan=200) / Dot1Q(vlan=100), ("vlan", "vlan"), 200),
        ("MPLS", MPLS(label=16, s=1), ("mpls",), None),
        ("three MPLS labels", MPLS(label=16, s=0) / MPLS(label=17, s=0) / MPLS(label=18, s=1), ("mpls",), None),
        ("VLAN and MPLS", Dot1Q(vlan=100) / MPLS(label=16, s=1), ("vlan", "mpls"), 100),
    )
    for name, tags, kinds, vid in tagged:
        add(f"{name}, ask", E / tags / V4 / ASK / BODY, kinds, vid, dns=True)
        add(f"{name}, web", E / tags / V4 / WEB / BODY, kinds, vid)
        add(f"{name}, ask by IPv6", E / tags / V6 / ASK / BODY, kinds, vid, dns=True, version=6)
        add(f"{name}, TCP", E / tags / V4 / TCP(sport=53, dport=53), kinds, vid, protocol="tcp")
    for name, before, kinds, vid in (("PPPoE", E, ("pppoe",), None),
                                     ("VLAN and PPPoE", E / Dot1Q(vlan=100), ("vlan", "pppoe"), 100)):
        add(f"{name}, ask", before / ppp(0x21, V4 / ASK / BODY), kinds, vid, dns=True)
        add(f"{name}, web", before / ppp(0x21, V4 / WEB / BODY), kinds, vid)
        add(f"{name}, ask by IPv6", before / ppp(0x57, V6 / ASK / BODY), kinds, vid, dns=True, version=6)
        add(f"{name}, LCP", before / ppp(0xC021, Raw(b"\1\1\0\4")), kinds, vid, version=0, protocol="lcp")


def add_fragments():
    for kind, tags, vid in ((E, (), None), (E / Dot1Q(vlan=100), ("vlan",), 100)):
        where = " behind a tag" if tags else ""
        base = 100 if tags else 0
        for name, number, head, protocol, dns in (("question", 1, ASK, "udp", True), ("web", 2, WEB, "udp", False),
                                                  ("TCP 53", 3, TCP(sport=53, dport=53), "tcp", False)):
            proto = 6 if protocol == "tcp" else 17
            add(f"first fragment of a {name}{where}",
                kind / IP(src="10.0.0.1", dst="10.0.0.2", id=base + number, flags="MF") / head / Raw(b"x" * 100),
                tags, vid, protocol=protocol, dns=dns)
            for frag, flags in ((20, "MF"), (40, 0)):
                add(f"fragment at {frag} of a {name}{where}",
                    kind / IP(src="10.0.0.1", dst="10.0.0.2", id=base + number, flags=flags, frag=frag, proto=proto)
                    / Raw(b"\0\x35" * 40), tags, vid, protocol=protocol, dns=dns, later=True)
        add(f"later fragment without a first one{where}",
            kind / IP(src="10.0.0.1", dst="10.0.0.2", id=base + 9, frag=20, proto=17) / Raw(b"y" * 80),
            tags, vid, later=True, orphan=True)
    for name, number, head, dns in (("question", 1, ASK, True), ("web", 2, WEB, False)):
        add(f"first IPv6 fragment of a {name}",
            E / V6 / IPv6ExtHdrFragment(id=number, m=1) / head / Raw(b"x" * 96), version=6, dns=dns, extended=True)
        add(f"later IPv6 fragment of a {name}",
            E / V6 / IPv6ExtHdrFragment(id=number, m=0, offset=13, nh=17) / Raw(b"x" * 96), version=6, dns=dns,
            later=True, extended=True)


def add_extended():
    chains = (
        ("hop by hop", IPv6ExtHdrHopByHop(options=[])),
        ("destination options", IPv6ExtHdrDestOpt(options=[])),
        ("routing", IPv6ExtHdrRouting(addresses=["2001:db8::9"])),
        ("three extension headers", IPv6ExtHdrHopByHop(options=[]) / IPv6ExtHdrRouting(addresses=["2001:db8::9"])
         / IPv6ExtHdrDestOpt(options=[])),
    )
    for name, chain in chains:
        add(f"{name}, ask", E / V6 / chain / ASK / BODY, version=6, dns=True, extended=True)
        add(f"{name}, web", E / V6 / chain / WEB / BODY, version=6, extended=True)
        add(f"{name} behind a tag, ask", E / Dot1Q(vlan=100) / V6 / chain / ASK / BODY, ("vlan",), 100, version=6,
            dns=True, extended=True)


def add_tunnels():
    outer = IP(src="192.0.2.1", dst="192.0.2.2")
    carriers = (
        ("ipip", outer, False),
        ("gre", outer / GRE(), False),
        ("gre", outer / GRE(key_present=1, key=7, seqnum_present=1, seqence_number=1), False),
        ("gre", outer / GRE(key_present=1, key=7, proto=0x6558), True),
        ("vxlan", outer / UDP(sport=50000, dport=4789) / VXLAN(vni=7), True),
        ("geneve", outer / UDP(sport=50000, dport=6081) / GENEVE(vni=7), True),
        ("gtp-u", outer / UDP(sport=2152, dport=2152) / GTP_U_Header(teid=7), False),
    )
    for number, (tunnel, carrier, frames) in enumerate(carriers):
        for name, layers, said in (
            ("ask", V4 / ASK / BODY, {"dns": True}),
            ("web", V4 / WEB / BODY, {}),
            ("TCP", V4 / TCP(sport=53, dport=53), {"protocol": "tcp"}),
            ("first fragment", IP(src="10.0.0.1", dst="10.0.0.2", id=50 + number, flags="MF") / ASK / Raw(b"x" * 40),
             {"dns": True}),
            ("later fragment", IP(src="10.0.0.1", dst="10.0.0.2", id=50 + number, frag=6, proto=17) / Raw(b"x" * 40),
             {"dns": True, "later": True}),
        ):
            layers = E / layers if frames else layers
            add(f"{tunnel} {number}, {name}", E / carrier / layers, tunnel=tunnel, **said)
            add(f"{tunnel} {number} behind a tag, {name}", E / Dot1Q(vlan=100) / carrier / layers, ("vlan",), 100,
                tunnel=tunnel, **said)
        if frames:
            add(f"{tunnel} {number}, ask behind a tag inside", E / carrier / E / Dot1Q(vlan=5) / V4 / ASK / BODY,
                dns=True, tunnel=tunnel)


def add_by_hand():
    ask = "4500 0022 0001 0000 4011 0000 0a000001 0a000002  9c40 0035 000e 0000 313233343536"
    web = ask.replace("0035", "0050")
    ask6 = ("6000 0000 000e 1140 20010db8000000000000000000000001 20010db8000000000000000000000002"
            "9c40 0035 000e 0000 313233343536")
    later = "0800 4500 001c 0fff 0005 4011 0000 0a000001 0a000002 0035003500350035"

    def by_hand(name, text, **said):
        add("by hand: " + name, bytes.fromhex(text), **said)

    by_hand("ask", "0800" + ask, dns=True)
    by_hand("web", "0800" + web)
    by_hand("tag", "8100 0064 0800" + ask, dns=True, tags=("vlan",), vid=100)
    by_hand("tag of 0x9100 before one of 802.1Q", "9100 00c8 8100 0064 0800" + ask, dns=True, tags=("vlan", "vlan"),
            vid=200)
    by_hand("QinQ, IPv6", "88a8 0064 8100 0001 86dd" + ask6, dns=True, version=6, tags=("vlan", "vlan"), vid=100)
    by_hand("two labels", "8847 0001 0040 0001 1140" + ask, dns=True, tags=("mpls",))
    by_hand("two labels, web", "8847 0001 0040 0001 1140" + web, tags=("mpls",))
    by_hand("PPPoE", "8864 1100 0001 0024 0021" + ask, dns=True, tags=("pppoe",))
    by_hand("later fragment", later, later=True, orphan=True)
    by_hand("later fragment of TCP", later.replace("4011", "4006"), later=True, orphan=True, protocol="tcp")
    by_hand("IP in IP", "0800 4500 0036 0001 0000 4004 0000 c0000201 c0000202" + ask, dns=True, tunnel="ipip")
    by_hand("GRE with a key", "0800 4500 003e 0001 0000 402f 0000 c0000201 c0000202 2000 0800 00000007" + ask, dns=True,
            tunnel="gre")
    by_hand("VXLAN", "0800 4500 0054 0001 0000 4011 0000 c0000201 c0000202 c350 12b5 0040 0000 0800 0000 000007 00"
            "020000000098 020000000099 0800" + ask, dns=True, tunnel="vxlan")
    by_hand("Geneve with an option", "0800 4500 005c 0001 0000 4011 0000 c0000201 c0000202 c350 17c1 0048 0000"
            "0200 6558 000007 00 0102 03 01 00000000 020000000098 020000000099 0800" + ask, dns=True, tunnel="geneve")
    by_hand("GTP-U with a sequence", "0800 4500 004a 0001 0000 4011 0000 c0000201 c0000202 0868 0868 0036 0000"
            "32ff 0026 00000007 00010000" + ask, dns=True, tunnel="gtp-u")


def write(path):
    """All of them, as a capture file. Each bears its number in its Ethernet source address."""
    for more in (add_plain, add_tagged, add_fragments, add_extended, add_tunnels, add_by_hand):
        more()
    wrpcap(path, [Ether(b"\x02\0\0\0\0\x02\x02\0\0\0" + i.to_bytes(2, "big") + data)
                  for i, (_, data) in enumerate(packets)])
    return [made for made, _ in packets]
