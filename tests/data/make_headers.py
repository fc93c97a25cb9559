#!/usr/bin/python3
"""Writes headers.pcap and headers.txt with scapy (Debian: python3-scapy): packets, and for each
the bytes of headers in front of its payload as scapy counts them, its layers, and its IP headers.
Read by tests/unit/test_headers.c. The packets are the seeds of tests/fuzz/fuzz_headers.c, too."""
import os
from scapy.all import (AH, ARP, ESP, GRE, ICMP, IP, IPv6, TCP, UDP, Dot1AD, Dot1Q, Ether,
                       ICMPv6EchoRequest, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPOption_RR, PPP, Packet, PPPoE, Raw, SCTP,
                       ShortField, VXLAN, bind_layers, wrpcap, raw)
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.gtp import (GTP_PDCP_PDU_ExtensionHeader, GTP_U_Header, GTPEchoRequest,
                               GTPPDUSessionContainer)
from scapy.contrib.igmp import IGMP
from scapy.contrib.mpls import MPLS

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = os.path.join(HERE, "..", "fuzz", "seeds", "headers")

class PPPWhole(Packet):
    """PPP with both bytes of the protocol: scapy's own leaves out the leading 0."""
    name = "PPP"
    fields_desc = [ShortField("proto", 0x21)]


bind_layers(PPPWhole, IP, proto=0x21)
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.1.0.3")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
VXLAN_PORTS = UDP(sport=7777, dport=4789)
GTP_PORTS = UDP(sport=7777, dport=2152)
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("WScale", 7)]

packets = [
    E / V4 / TCP(dport=7777),
    E / V4 / TCP(dport=7777, options=OPTIONS),
    E / IP(options=IPOption_RR(length=39, routers=["0.0.0.0"] * 9)) / TCP(dport=7777, options=OPTIONS),
    E / V4 / UDP(sport=7777, dport=7777),
    E / V4 / SCTP(sport=7777, dport=7777),
    E / V4 / ICMP(id=1, seq=2),
    E / V4 / IGMP(),
    E / V4 / ESP(spi=1, seq=2),
    E / V4 / AH(payloadlen=4, nh=17, icv=b"0123456789ab") / UDP(sport=7777, dport=7777),
    E / IP(proto=17, frag=185) ,
    E / IP(proto=17, flags="MF") / UDP(sport=7777, dport=7777),
    E / IP(proto=253),
    E / V4 / IP() / UDP(sport=7777, dport=7777),
    E / V4 / IPv6() / UDP(sport=7777, dport=7777),
    E / V4 / GRE() / IP() / UDP(sport=7777, dport=7777),
    E / V4 / GRE(chksum_present=1, chksum=0, offset=0, key_present=1, key=5, seqnum_present=1,
                 seqence_number=6) / IP() / TCP(dport=7777),
    E / V4 / GRE(proto=0x6558) / E / IPv6() / TCP(dport=7777),
    E / V4 / GRE(proto=0x9999),
    E / V6 / TCP(dport=7777, options=OPTIONS),
    E / V6 / UDP(sport=7777, dport=7777),
    E / V6 / ICMPv6EchoRequest(id=1, seq=2),
    E / V6 / IPv6ExtHdrHopByHop(options=[]) / IPv6ExtHdrDestOpt(options=[])
    / IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / TCP(dport=7777),
    E / V6 / IPv6ExtHdrFragment(m=1, offset=0) / UDP(sport=7777, dport=7777),
    E / V6 / IPv6ExtHdrFragment(m=0, offset=185, nh=17),
    E / IPv6(nh=59),
    E / Dot1Q(vlan=100) / V4 / TCP(dport=7777),
    E / Dot1AD(vlan=5) / Dot1Q(vlan=100) / V6 / UDP(sport=7777, dport=7777),
    E / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / V4 / UDP(sport=7777, dport=7777),
    E / MPLS(label=16, s=1) / V4 / TCP(dport=7777),
    E / MPLS(label=16, s=0) / MPLS(label=17, s=0) / MPLS(label=18, s=1) / V6 / UDP(sport=7777,
                                                                                 dport=7777),
    E / PPPoE(sessionid=1) / PPP(proto=0x21) / V4 / TCP(dport=7777),
    E / PPPoE(sessionid=1) / PPPWhole(proto=0x21) / V4 / TCP(dport=7777),
    E / PPPoE(sessionid=1) / PPPWhole(proto=0xc021),
    E / Dot1Q(vlan=7) / PPPoE(sessionid=1) / PPP(proto=0x57) / V6 / TCP(dport=7777),
    E / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    Ether(src=E.src, dst=E.dst, type=0x88b5),
    E / IP(proto=17, id=0x1234, flags="MF", frag=185),
    E / V6 / IPv6ExtHdrFragment(m=0, offset=0, id=7) / TCP(dport=7777),
    E / V6 / IPv6ExtHdrHopByHop(options=[]) / IPv6ExtHdrFragment(m=1, offset=0, id=0x89abcdef)
    / IPv6ExtHdrDestOpt(options=[]) / TCP(dport=7777),
    E / V6 / IPv6ExtHdrFragment(m=0, offset=185, id=0x89abcdef, nh=60),
    E / V6 / AH(payloadlen=4, nh=6, icv=b"0123456789ab") / TCP(dport=7777),
    E / V6 / ESP(spi=1, seq=2),
    E / V6 / V4 / TCP(dport=7777),
    E / V6 / V6 / V6 / ICMPv6EchoRequest(id=1, seq=2),
    E / IP(proto=136) / Raw(bytes.fromhex("1e611e6100080000")),
    E / Dot1Q(vlan=100) / V4 / GRE(proto=0x6558, key_present=1, key=0x123400) / E / Dot1Q(vlan=5) / V4
    / UDP(sport=7777, dport=7777),
    E / V6 / GRE(proto=0x88be) / ERSPAN_I() / E / V4 / TCP(dport=7777),
    E / V4 / GRE(proto=0x88be, seqnum_present=1) / ERSPAN_II(ver=1, session_id=3) / E / V4
    / TCP(dport=7777),
    E / V4 / GRE(proto=0x22eb, seqnum_present=1) / ERSPAN_III() / E / V6 / TCP(dport=7777),
    E / V4 / GRE(proto=0x22eb, seqnum_present=1) / ERSPAN_III(o=1) / ERSPAN_PlatformSpecific() / E / V4
    / UDP(sport=7777, dport=7777),
    E / V4 / GRE(proto=0x22eb, seqnum_present=1) / ERSPAN_III(ft=2) / V4 / UDP(sport=7777, dport=7777),
    # Flags are said here, because scapy's own are those of VXLAN-GPE, as at the end.
    E / V4 / VXLAN_PORTS / VXLAN(vni=5, flags=8) / E / V4 / TCP(dport=7777),
    E / V6 / VXLAN_PORTS / VXLAN(vni=5, flags=0x88, gpflags=8, gpid=9) / E / Dot1Q(vlan=5) / V6
    / UDP(sport=7777, dport=7777),
    E / V4 / VXLAN_PORTS / VXLAN(vni=5, flags=8) / E / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    E / IP(id=9, flags="MF") / VXLAN_PORTS / VXLAN(vni=5, flags=8) / E / V4 / TCP(dport=7777),
    E / V4 / UDP(sport=7777, dport=6081) / GENEVE(vni=5, proto=0x6558) / E / V4 / TCP(dport=7777),
    E / V6 / UDP(sport=7777, dport=6081)
    / GENEVE(vni=5, proto=0x6558, options=[GeneveOptions(data=b"12345678"), GeneveOptions()]) / E / V6
    / SCTP(sport=7777, dport=7777),
    E / V4 / UDP(sport=7777, dport=6081) / GENEVE(vni=5, proto=0x86dd) / V6 / ICMPv6EchoRequest(),
    E / V4 / GTP_PORTS / GTP_U_Header(teid=5) / V4 / TCP(dport=7777),
    E / V4 / GTP_PORTS / GTP_U_Header(teid=5, S=1, seq=6) / V6 / TCP(dport=7777),
    E / V6 / GTP_PORTS / GTP_U_Header(teid=5) / GTPPDUSessionContainer(QFI=9) / V4
    / UDP(sport=7777, dport=7777),
    E / V4 / GTP_PORTS / GTP_U_Header(gtp_type=255, E=1, next_ex=0xc0, teid=5)
    / GTP_PDCP_PDU_ExtensionHeader(pdcp_pdu=1, next_ex=0x85) / GTPPDUSessionContainer(QFI=9) / V4
    / UDP(sport=7777, dport=7777),
    E / V4 / GTP_PORTS / GTP_U_Header(gtp_type=1, S=1),
    E / V4 / GTP_PORTS / GTP_U_Header(gtp_type=254, teid=5),
    E / MPLS(label=16, s=1) / V4 / GTP_PORTS / GTP_U_Header(teid=5) / V4 / V4 / GRE() / V4
    / TCP(dport=7777),
    E / V4 / VXLAN_PORTS / VXLAN(vni=5) / E / V4 / TCP(dport=7777),
    E / V6 / VXLAN_PORTS / VXLAN(vni=5) / V4 / UDP(sport=7777, dport=7777),
    E / V4 / VXLAN_PORTS / VXLAN(vni=5) / V6 / TCP(dport=7777),
    E / V4 / UDP(sport=7777, dport=8472) / VXLAN(vni=5, flags=8) / E / V4 / TCP(dport=7777),
]
EXTENSIONS = (AH, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
TUNNELS = {GRE: "gre", VXLAN: "vxlan", GENEVE: "geneve", GTP_U_Header: "gtp-u"}
PORTS = (6, 17, 132, 136)


def chain(packet):
    """[(offset, layer)] of the layers of a packet."""
    found, whole, layer = [], len(raw(packet)), packet
    while layer and layer.name != "NoPayload":
        found.append((whole - len(raw(layer)), layer))
        layer = layer.payload
    return found


def describe_ip(data, off, ether, tunnel, extensions, payload):
    """One IP header, as headers_text.h has it."""
    version = data[off] >> 4
    protocol = data[off + 9] if version == 4 else data[off + 6]
    fragment = offset = number = 0
    if version == 4:
        number = int.from_bytes(data[off + 4:off + 6], "big")
        fragment = int.from_bytes(data[off + 6:off + 8], "big") & 0x3fff
        offset = fragment & 0x1fff
    for at, layer in extensions:
        protocol = data[at]
        if isinstance(layer, IPv6ExtHdrFragment):
            number = int.from_bytes(data[at + 4:at + 8], "big")
            fragment = int.from_bytes(data[at + 2:at + 4], "big") & 0xfff9
            offset = fragment & 0xfff8
    text = "ip%d@%d %s ether@%s %d@%d" % (version, off, tunnel, ether, protocol, payload)
    if protocol in PORTS and not offset:
        text += " ports"
    if fragment:
        text += " %s 0x%x" % ("later" if offset else "first", number)
    return text


def describe(packet):
    data, layers = raw(packet), chain(packet)
    ips, ether, tunnel = [], "-", "none"
    for n, (off, layer) in enumerate(layers):
        if isinstance(layer, Ether):
            ether = off
        tunnel = TUNNELS.get(type(layer), tunnel)
        if not isinstance(layer, (IP, IPv6)):
            continue
        behind = n + 1
        while behind < len(layers) and isinstance(layers[behind][1], EXTENSIONS):
            behind += 1
        payload = layers[behind][0] if behind < len(layers) else len(data)
        ips.append(describe_ip(data, off, ether, tunnel, layers[n + 1:behind], payload))
        ether, tunnel = "-", "ipip"
    return ", ".join(ips)


out, lines = [], []
for n, packet in enumerate(packets):
    headers = len(raw(packet))
    whole = packet / Raw(bytes([0xa5]) * 40) if not packet.haslayer(ARP) else packet / Raw(bytes(18))
    whole.time = n
    out.append(whole)
    layers = [layer.name.replace(" ", "_") for _, layer in chain(packet)]
    lines.append(("%d %s %s" % (headers, "/".join(layers), describe(packet))).rstrip() + "\n")
wrpcap(os.path.join(HERE, "headers.pcap"), out)
with open(os.path.join(HERE, "headers.txt"), "w") as text:
    text.write("# Of each packet in headers.pcap: bytes of headers, layers, IP headers; by make_headers.py\n")
    text.writelines(lines)
os.makedirs(SEEDS, exist_ok=True)
for n, packet in enumerate(out, 1):
    with open(os.path.join(SEEDS, "packet_%02d" % n), "wb") as seed:
        seed.write(raw(packet))
