#!/usr/bin/python3
"""
Each packet's captured and original length, of a pcap file in little-endian byte order.

    pcap_lengths.py FILE
"""
import struct
import sys

with open(sys.argv[1], "rb") as f:
    data = f.read()
at = 24
while at < len(data):
    captured, length = struct.unpack_from("<II", data, at + 8)
    print(captured, length)
    at += 16 + captured
