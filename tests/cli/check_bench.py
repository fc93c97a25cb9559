#!/usr/bin/env python3
"""Holds what `wirespool bench` says against itself.

    check_bench.py json FILE            the report: each figure follows from the others
    check_bench.py svg FILE SERIES...   the picture: well-formed, with just these curves and their axes

Prints each fault; exits with 1 if there is one.
"""

import json
import math
import sys
import xml.etree.ElementTree as ET

faults = []


def claim(holds, text):
    if not holds:
        faults.append(text)


def near(a, b):
    return math.isclose(a, b, rel_tol=1e-5)


def wire_bytes(frame):
    return 20 + ((7 * 64 + 4 * 594 + 1518) / 12 if frame == "IMIX" else int(frame))


def slowest_second(times, counts):
    """The least rate of all stretches of a second, or of the whole."""
    rates = []
    for i, begin in enumerate(times):
        end = next((k for k in range(i, len(times)) if times[k] - begin >= 1), None)
        if end is not None:
            rates.append((counts[end] - counts[i]) / (times[end] - begin))
    return min(rates) if rates else (counts[-1] - counts[0]) / (times[-1] - times[0])


def check_account(m, name):
    claim(m["received_pkts"] == m["filtered_pkts"] + m["written_pkts"] + m["lost_pkts"],
          f"{name}: the account does not balance")
    claim(m["written_pkts"] > 0, f"{name}: nothing was written")
    claim(m["lost_pkts"] == 0, f"{name}: the generator waits, and yet packets were lost")
    claim(m["filtered_pkts"] == 0, f"{name}: the default filter keeps all")
    # without FCS; IMIX has whole rounds of 12 frames but for the last one
    stored = m["written_bytes"] / m["written_pkts"]
    claim(abs(stored + 4 + 20 - m["frame_wire_bytes"]) < (0.5 if m["frame"] == "IMIX" else 1e-9),
          f"{name}: {stored} bytes were stored of each packet")
    if m["directories"]:
        # 28 bytes before a packet's bytes and 4 behind are the least that pcapng takes
        claim(m["file_bytes"] >= m["written_bytes"] + 32 * m["written_pkts"],
              f"{name}: the files are too short for what was written")


def check_rates(m, name):
    s = m["samples"]
    claim(len({len(column) for column in s.values()}) == 1, f"{name}: samples differ in length")
    for column in s.values():
        claim(all(a <= b for a, b in zip(column, column[1:])), f"{name}: a counter went back")
    claim(s["time_s"][0] == 0 and near(s["time_s"][-1], m["duration_s"]), f"{name}: duration")
    claim(s["written_pkts"][-1] <= m["written_pkts"], f"{name}: more seen than written")
    claim(near(m["frame_wire_bytes"], wire_bytes(m["frame"])), f"{name}: frame_wire_bytes")
    claim(near(m["wire_bps"], m["pkts_per_s"] * 8 * m["frame_wire_bytes"]), f"{name}: wire_bps")
    first = next(i for i, t in enumerate(s["time_s"]) if t >= m["settle_s"] - 1e-9)
    times = s["time_s"][first:]
    for key, counts in {
            "pkts_per_s": [a + b for a, b in zip(s["filtered_pkts"], s["written_pkts"])][first:],
            "file_bytes_per_s": s["file_bytes"][first:]}.items():
        claim(near(m[key], (counts[-1] - counts[0]) / (times[-1] - times[0])), f"{name}: {key}")
        claim(near(m["slowest_" + key], slowest_second(times, counts)), f"{name}: slowest {key}")
        claim(m["slowest_" + key] <= m["median_" + key], f"{name}: median {key}")


def thread_rate(m, cost, count):
    return 1e9 / m[cost] if m[cost] else m["pkts_per_s"] / m[count]


def check_prediction(report):
    found = {(m["kind"], m["frame"]): m for m in report["measurements"]}
    disks = [m for m in report["measurements"] if m["kind"] == "disk"]
    prediction = report["prediction"]
    claim(prediction["disks"] == len(disks), "prediction: disks")
    for p in prediction["rates"]:
        pack, whole = found["pack", p["frame"]], found.get(("end_to_end", p["frame"]))
        lcore = thread_rate(found.get(("filter", p["frame"]), pack), "lcore_ns_per_pkt", "lcores")
        writer = thread_rate(pack, "writer_ns_per_pkt", "writers")
        parts = {"lcores": lcore * pack["lcores"], "writers": writer * pack["writers"]}
        if disks:
            parts["disks"] = (sum(m["slowest_file_bytes_per_s"] for m in disks) /
                              pack["file_bytes_per_pkt"])
        least = min(parts, key=parts.get)
        seen = min(found.get(("filter", p["frame"]), pack)["pkts_per_s"],
                   whole["slowest_pkts_per_s"] if whole else math.inf)
        claim(near(p["pkts_per_s"], min(parts[least], seen)), f"prediction: {p['frame']}")
        claim(p["limit"] == ("together" if seen < 0.9 * parts[least] else least),
              f"prediction: {p['frame']} is limited by {p['limit']}")
        for need in p["needs"]:
            pps = need["link_bps"] / 8 / pack["frame_wire_bytes"]
            claim(need["lcores"] == math.ceil(pps / lcore), f"needs: {need}")
            claim(need["writers"] == math.ceil(pps / writer), f"needs: {need}")


def check_json(path):
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    claim(report["memory"]["bytes_per_s"] >= report["memory"]["slowest_bytes_per_s"] > 0, "memory")
    for m in report["measurements"]:
        name = f"{m['kind']} {m['frame']}"
        check_account(m, name)
        check_rates(m, name)
    check_prediction(report)


def check_svg(path, series):
    svg = "{http://www.w3.org/2000/svg}"
    root = ET.parse(path).getroot()
    width, height = (float(n) for n in root.get("viewBox").split()[2:])
    curves = [e for e in root.iter(svg + "path") if "curve" in e.get("class")]
    texts = ["".join(e.itertext()) for e in root.iter(svg + "text")]
    names = [c.find(svg + "title").text for c in curves]
    claim(root.tag == svg + "svg", "the root is no <svg>")
    claim(sorted(names) == sorted(series), f"curves: {names}")
    for name in series:
        claim(name in texts, f"'{name}' is in no legend")
    for label in ("seconds since the measurement began", "million packets/s"):
        claim(label in texts, f"no axis says '{label}'")
    claim("prefers-color-scheme:dark" in root.find(svg + "style").text, "no dark scheme")
    for curve in curves:
        points = [p.split() for p in curve.get("d").replace("L", "M").split("M")[1:]]
        claim(len(points) > 1, f"'{curve.find(svg + 'title').text}' has no line")
        claim(all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points),
              "a curve leaves the picture")


if sys.argv[1] == "json":
    check_json(sys.argv[2])
else:
    check_svg(sys.argv[2], sys.argv[3:])
print("\n".join(faults))
sys.exit(1 if faults else 0)
