#!/usr/bin/python3
"""Writes headers.pcap and headers.txt with scapy (Debian: python3-scapy): packets, and for each
the bytes of headers in front of its payload as scapy counts them, its layers beside it.
Read by tests/unit/test_headers.c."""
import os
from scapy.all import (AH, ARP, ESP, GRE, ICMP, IP, IPv6, TCP, UDP, Dot1AD, Dot1Q, Ether,
                       ICMPv6EchoRequest, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPOption_RR, PPP, Packet, PPPoE, Raw, SCTP,
                       ShortField, bind_layers, wrpcap, raw)
from scapy.contrib.igmp import IGMP
from scapy.contrib.mpls import MPLS

HERE = os.path.dirname(os.path.abspath(__file__))

class PPPWhole(Packet):
    """PPP with both bytes of the protocol: scapy's own leaves out the leading 0."""
    name = "PPP"
    fields_desc = [ShortField("proto", 0x21)]


bind_layers(PPPWhole, IP, proto=0x21)
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.1.0.3")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
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
]
out, lines = [], []
for n, packet in enumerate(packets):
    headers = len(raw(packet))
    whole = packet / Raw(bytes([0xa5]) * 40) if not packet.haslayer(ARP) else packet / Raw(bytes(18))
    whole.time = n
    out.append(whole)
    layers, layer = [], packet
    while layer and layer.name != "NoPayload":
        layers.append(layer.name.replace(" ", "_"))
        layer = layer.payload
    lines.append("%d %s\n" % (headers, "/".join(layers)))
wrpcap(os.path.join(HERE, "headers.pcap"), out)
with open(os.path.join(HERE, "headers.txt"), "w") as text:
    text.write("# bytes of headers, and layers, of each packet in headers.pcap; by make_headers.py\n")
    text.writelines(lines)
