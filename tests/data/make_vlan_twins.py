#!/usr/bin/python3
"""Writes vlan_twins.pcap with scapy (Debian: python3-scapy): each packet three times, plain,
behind one 802.1Q tag, and behind 802.1ad + 802.1Q. Read by tests/unit/test_filter.c."""
import os
from scapy.all import (ARP, DNS, DNSQR, GRE, ICMP, IP, IPv6, TCP, UDP, Dot1AD, Dot1Q, Ether,
                       ICMPv6EchoRequest, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPOption_RR,
                       PPP, PPPoE, Raw, SCTP, wrpcap, raw)
from scapy.contrib.mpls import MPLS

MACS = dict(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = dict(src="10.0.0.1", dst="10.1.0.3")
V6 = dict(src="2001:db8::1", dst="2001:db8::2")

payloads = [
    (0x0800, IP(**V4) / UDP(sport=1024, dport=53) / DNS(qd=DNSQR(qname="example.org"))),
    (0x0800, IP(**V4) / TCP(sport=2000, dport=80, flags="S", options=[("MSS", 1460)])),
    (0x0800, IP(**V4) / TCP(sport=80, dport=2000, flags="PA") / Raw(b"GET / HTTP/1.1\r\n\r\n")),
    (0x0800, IP(src="192.168.1.1", dst="10.0.0.2", options=IPOption_RR()) / UDP(dport=123)),
    (0x0800, IP(**V4, frag=100) / Raw(b"later fragment")),
    (0x0800, IP(**V4, flags="MF") / UDP(dport=53) / Raw(b"first fragment of two")),
    (0x0800, IP(**V4) / ICMP() / Raw(b"ping")),
    (0x0800, IP(**V4) / GRE() / IP(**V4) / UDP(dport=53)),
    (0x0800, IP(**V4) / SCTP(sport=53, dport=80)),
    (0x0800, IP(dst="224.0.0.1", src="10.0.0.2", proto=2) / Raw(b"\x16\0\0\0\0\0\0\0")),
    (0x86dd, IPv6(**V6) / TCP(dport=443)),
    (0x86dd, IPv6(**V6) / UDP(dport=53)),
    (0x86dd, IPv6(**V6) / ICMPv6EchoRequest()),
    (0x86dd, IPv6(**V6) / IPv6ExtHdrHopByHop() / TCP(dport=80)),
    (0x86dd, IPv6(**V6) / IPv6ExtHdrFragment(m=1) / UDP(dport=53)),
    (0x0806, ARP(psrc="10.0.0.1", pdst="10.0.0.2")),
    (0x8847, MPLS(label=16, s=1) / IP(**V4) / TCP(dport=80)),
    (0x8864, PPPoE(sessionid=0x27) / PPP(proto=0x21) / IP(**V4) / TCP(dport=80)),
    (0x88cc, Raw(b"\x02\x07\x04" + bytes(40))),
]
packets = []
for kind, payload in payloads:
    body = Raw(raw(payload))
    packets.append(Ether(**MACS, type=kind) / body)
    packets.append(Ether(**MACS) / Dot1Q(vlan=100, type=kind) / body)
    packets.append(Ether(**MACS, type=0x88A8) / Dot1AD(vlan=5, type=0x8100)
                   / Dot1Q(vlan=100, prio=3, type=kind) / body)
for n, packet in enumerate(packets):
    packet.time = n
wrpcap(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vlan_twins.pcap"), packets)
