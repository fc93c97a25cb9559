#!/usr/bin/python3
"""
Capture files for filter.sh, by scapy.

    filter.py DIR   writes plain.pcap, raw.pcap (the same as raw IP), odd.pcap, torn.pcap (its last
                    byte is missing), none.pcap (no packets)
"""
import os
import struct
import sys

from scapy.all import (ARP, GRE, ICMP, IP, IPv6, TCP, UDP, VXLAN, Dot1Q, Ether, Raw, raw)

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
CLIENT = {"src": "10.0.0.1", "dst": "10.1.0.3"}
SERVER = {"src": "10.1.0.3", "dst": "10.0.0.1"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}


def ether(packet):
    return Ether(**MACS) / packet


def plain():
    """No tags, no fragments, no tunnels: a filter means here what it means to tcpdump."""
    for n in range(40):
        yield IP(**CLIENT, ttl=n + 1) / TCP(sport=2000 + n, dport=80, flags="S") / Raw(b"x" * n)
        yield IP(**SERVER) / TCP(sport=80, dport=2000 + n, flags="SA", options=[("MSS", 1460)])
        yield IP(**CLIENT) / UDP(sport=1024 + n, dport=53) / Raw(b"q" * (20 + n * 13))
        yield IP(src=f"192.168.{n}.1", dst="10.0.0.2") / ICMP() / Raw(b"ping")
        yield IPv6(**V6) / TCP(sport=2000 + n, dport=443 if n % 2 else 80)
        yield IPv6(**V6) / UDP(sport=53, dport=3000 + n) / Raw(b"a" * 100)
    # more than an mbuf holds
    for length in (2006, 2007, 5000, 60000):
        yield IP(**CLIENT) / UDP(sport=53, dport=length) / Raw((bytes(range(250)) * 240)[:length])


def first(number, port):
    return IP(**CLIENT, id=number, flags="MF") / UDP(sport=9, dport=port) / Raw(b"f" * 24)


def later(number):
    return IP(**CLIENT, id=number, frag=4, proto=17) / Raw(b"l" * 40)


def odd():
    ssh = IP(**CLIENT) / TCP(sport=5000, dport=22, flags="PA")
    return [
        ether(first(1, 53)),
        ether(later(1)),
        ether(later(2)),
        ether(first(3, 99)),
        ether(later(3)),
        ether(IP(**SERVER) / UDP(sport=7, dport=4789) / VXLAN(vni=1) /
              ether(IP(**CLIENT) / TCP(sport=6, dport=443) / Raw(b"v" * 60))),
        ether(IP(**SERVER) / GRE() / IP(**CLIENT) / IP(**SERVER) / UDP(sport=6, dport=67)),
        ether(ARP(psrc="10.0.0.1", pdst="10.0.0.2")),
        ether(ssh / Raw(b"1" * 100)),
        ether(ssh / Raw(b"2" * 100)),
        Ether(**MACS) / Dot1Q(vlan=5) / ssh / Raw(b"3" * 100),
    ]


def write(path, packets, linktype):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, linktype))
        for n, packet in enumerate(packets):
            data = raw(packet)
            out.write(struct.pack("<IIII", 1700000000 + n, n * 7, len(data), len(data)) + data)


def make(folder):
    def path(name):
        return os.path.join(folder, name)

    write(path("plain.pcap"), [ether(p) for p in plain()] + [ether(ARP())] * 3, 1)
    write(path("raw.pcap"), plain(), 101)
    write(path("odd.pcap"), odd(), 1)
    with open(path("odd.pcap"), "rb") as f:
        whole = f.read()
    with open(path("torn.pcap"), "wb") as f:
        f.write(whole[:-1])
    with open(path("none.pcap"), "wb") as f:
        f.write(whole[:24])


if __name__ == "__main__":
    make(sys.argv[1])
