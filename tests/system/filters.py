"""What recordings keep of packets, and changes of it while they run; filters.sh starts this, see there.

What should be in the files follows from how the packets were made (filters_packets.py, the generator's
numbers), from the times that the files bear, and from a recording beside that keeps everything. No length
of time is asserted.
"""

import collections
import functools
import json
import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

logging.getLogger("scapy").setLevel(logging.ERROR)  # it misses routes, which nobody needs

from scapy.all import ARP, ICMP, IP, IPv6, TCP, UDP, Dot1Q, Ether, Raw, raw, wrpcap

import filters_packets
from daemon import (WIRESPOOL, WORK, BalanceWatch, Daemon, Wire, claim, claim_valid, conf, failed, files_of, folder,
                    guarded, live_run, lost_of, ns_of, port, recording, run, until)

CPUS = sorted(os.sched_getaffinity(0))[:2]

# Reading back

FIELDS = ("frame.time_epoch", "frame.interface_name", "frame.len", "frame.cap_len", "eth.type", "ip.src", "udp.srcport",
          "udp.dstport", "ip.id", "data.data")
Packet = collections.namedtuple("Packet", "time_ns port length captured type source sport dport number")


def tshark(path, *fields):
    got = run("tshark", "-n", "-r", path, "-T", "fields", *(x for f in fields for x in ("-e", f)))
    if got.returncode != 0:
        raise RuntimeError(f"tshark cannot read {path}: {got.stderr}")
    return [line.split("\t") for line in got.stdout.splitlines()]


@functools.lru_cache
def read(path):
    """Packets of the generator and of a Wire, with their numbers."""
    packets = []
    for at, name, length, captured, kind, source, sport, dport, ip_id, data in tshark(path, *FIELDS):
        seconds, _, fraction = at.partition(".")
        number = int(ip_id, 16) if ip_id else int(data[:8], 16) if data else None
        packets.append(Packet(int(seconds) * 10**9 + int(fraction), name, int(length), int(captured), int(kind, 16),
                              source, int(sport or 0), int(dport or 0), number))
    return packets


def missing_in(packets):
    """How many of the flows' numbers are not there, and where the first is missing."""
    last, missing, first = {}, 0, None
    for p in packets:
        flow = (p.port, p.source, p.sport, p.dport)
        gap = (p.number - last.get(flow, p.number - 1) - 1) % (1 << 16)
        if gap and not first:
            first = last[flow], p
        missing += gap
        last[flow] = p.number
    return missing, first


def run_of(summary, run_id):
    return next(r for r in summary["runs"] if r["id"] == run_id)


def claim_nothing_lost(name, summary):
    lost = [r for r in summary["runs"] if lost_of(r)]
    claim(f"{name}: no run lost a packet in all this", not lost, lost)


def reference_of(summary):
    """What the recording has that runs beside the others and keeps everything."""
    return [p for r in summary["runs"] if r["recording"] == "all" for f in r["files"] for p in read(f)]


Told = collections.namedtuple("Told", "generation since_ns filters")


def told_by(path):
    """What a file says of its filter, and each of its interfaces, as capinfos reads it."""
    text = run("capinfos", "-M", path).stdout
    note = re.search(r"(?m)^Capture comment: *filter generation (\d+)(?: from (\S+))?: ", text)
    filters = tuple(tuple(re.findall(r"Filter string = (.*)", x)) for x in text.split("Interface #")[1:])
    if not note:
        return Told(1, 0, filters)
    return Told(int(note[1]), ns_of(note[2]) if note[2] else 0, filters)


# set

SET_TRAFFIC = "gen:rate=2M,size=128,flows=4"  # two conversations, of a queue each


def two_queues(name, device):
    return port(name, device, f"lcores = [{CPUS[0]}, {CPUS[-1]}];")


def everything(p):
    return p.length


class Changes:
    """Changes a recording again and again, and keeps in mind what its files should hold of each generation."""

    def __init__(self, name, d, recording_name):
        self.name, self.d, self.recording = name, d, recording_name
        self.stores = {1: (everything, [])}  # generation -> (bytes to store of a packet, if_filter)

    def filter(self):
        return next(r["filter"] for r in self.d.status()["recordings"] if r["name"] == self.recording)

    def set(self, stores, *changes, filters=()):
        """stores: of a packet, the bytes that the filter is to store; 0: none."""
        got = self.d.cli("set", "--json", self.recording, *changes)
        self.changed(got, stores, changes, filters)

    def changed(self, got, stores, changes, filters=()):
        answer = json.loads(got.stdout) if got.returncode == 0 else {}
        claim(f"{self.name}: set {' '.join(changes)[:60]}: says since when, in which run",
              got.returncode == 0 and answer["since"] and not answer["pending"] and
              answer["runs"] == [live_run(self.d, self.recording)], got)
        self.stores[answer.get("generation", max(self.stores) + 1)] = (stores, list(filters))

    def wait(self):
        """Until the newest is in force, and some packets came since."""
        def in_force():
            f = self.filter()
            since_ns = ns_of(f["since"]) if f["since"] else 0 if f["generation"] == 1 else None
            return since_ns is not None and not f["pending"] and ns_of(self.d.status()["now"]) > since_ns

        r = until("the run", lambda: live_run(self.d, self.recording))
        until("the newest filter to be in force", in_force)
        self.d.wait_received(r, self.d.find(r)["received_pkts"] + 300)

    def in_force(self):
        f = self.filter()
        return f["generation"], f["text"], f["since"], f["pending"]

    def refused(self, text, *changes, says=""):
        before = self.in_force()
        got = self.d.cli("set", self.recording, *changes)
        claim(f"{self.name}: {text}: exit code 2, a reason, nothing changed",
              got.returncode == 2 and got.stdout == "" and says in got.stderr and got.stderr and
              self.in_force() == before, got, self.filter(), before)

    def claim_files(self, r, reference):
        """Of the reference each generation's files hold just what it keeps, of the time that they say."""
        stop_ns = ns_of(r["end"])  # lcores hear of a stop one after the other, and some packets still come
        files = collections.defaultdict(list)
        for f in sorted(r["files"]):
            files[told_by(f)] += [p for p in read(f) if p.time_ns < stop_ns]
        due = [(g, tuple(filters)) for g, (_, filters) in sorted(self.stores.items())]
        claim(f"{self.name}: there are files of each generation, in their order, and each interface says its filter",
              [(t.generation, t.filters[0]) for t in files] == due and
              all(f == t.filters[0] for t in files for f in t.filters), list(files), due)
        wrong = []
        for told, packets in files.items():
            stores = self.stores.get(told.generation, (everything, []))[0]
            begin_ns = told.since_ns or packets[0].time_ns
            end_ns = min([t.since_ns for t in files if t.since_ns > begin_ns], default=stop_ns)
            wanted = [p._replace(captured=stores(p)) for p in reference if begin_ns <= p.time_ns < end_ns and stores(p)]
            if sorted(packets) != sorted(wanted) or not packets:
                more, less = set(packets) - set(wanted), set(wanted) - set(packets)
                wrong.append((told, f"{len(packets)}, {len(wanted)} wanted, {len(more)} too many, {len(less)} missing",
                              sorted(more)[:2], sorted(less)[:2]))
        claim(f"{self.name}: and hold just what it keeps, from the time in their note to that of the next",
              not wrong, *wrong)


def asked(p):
    return p.length if p.dport == 9 else 0


def answered(p):
    return p.length if p.sport == 9 else 0


def fourth(p):
    return p.length if p.source and p.number % 4 == 0 else 0


def of_the_wire(p):
    return 0 if p.source else p.length


def write_rules(name, lines):
    path = f"{WORK}/{name}"
    with open(path, "w") as f:
        f.write("".join(line + "\n" for line in lines))
    return path


def many_rules(count):
    """That match nothing of the generator's."""
    return [f"drop udp 10.{200 + i // 10000}.{i // 100 % 100}.{i % 100} {1 + i % 999} any any" for i in range(count)]


def check_sets(c):
    c.set(asked, "filter=dst port 9", filters=["dst port 9"])
    c.wait()
    c.set(lambda p: min(60, answered(p)), "filter=src port 9", "snaplen=60", filters=["src port 9"])
    c.wait()
    # At once behind each other: what comes last holds, and none is said to have come to nothing.
    c.set(asked, "filter=udp and dst port 9", "snaplen=", filters=["udp and dst port 9"])
    c.set(answered, "filter=udp and src port 9", filters=["udp and src port 9"])
    c.set(fourth, "filter=ip[4:2] & 3 = 0", filters=["ip[4:2] & 3 = 0"])
    c.wait()
    c.set(lambda p: min(42, fourth(p)), "snaplen=headers", filters=["ip[4:2] & 3 = 0"])
    c.wait()
    c.set(of_the_wire, "filter=ether proto 0x88b5", "snaplen=", filters=["ether proto 0x88b5"])
    c.wait()


def begin_set(c, *changes):
    """Of rules that take a while. Returns the command, which waits, and the filter of then."""
    process = subprocess.Popen([WIRESPOOL, "set", "-S", c.d.socket, "--json", c.recording, *changes],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def pending():
        f = c.filter()
        return f if f["pending"] else None

    return process, until("the rules to be built", pending)


def check_many_rules(c):
    """A table that takes a while: the filter before goes on, and the command waits."""
    lines = [*many_rules(20000), "keep udp any any any 9", "cut=headers+8 udp any 9 any any"]
    many, others = write_rules("many.rules", lines), write_rules("others.rules", lines[1:])
    before = c.filter()
    change = ("filter=", "snaplen=", f"rules={many}")
    process, pending = begin_set(c, *change)
    claim(f"{c.name}: while 20,000 rules are built the filter before goes on, and the command waits",
          pending == dict(before, pending=True) and process.poll() is None, before, pending)
    r = live_run(c.d, c.recording)
    c.d.wait_received(r, c.d.find(r)["received_pkts"] + 300)
    out, err = process.communicate(timeout=60)
    c.changed(subprocess.CompletedProcess(process.args, process.returncode, out, err),
              lambda p: asked(p) or min(50, answered(p)), change)
    c.wait()
    claim(f"{c.name}: the rules' file is what status tells", many in c.filter()["text"], c.filter())

    process, _ = begin_set(c, f"rules={others}")
    c.set(answered, "rules=", "filter=src port 9", filters=["src port 9"])
    out, err = process.communicate(timeout=60)
    claim(f"{c.name}: a change overtakes one that is being built: both commands end, and tell of the last",
          process.returncode == 0 and json.loads(out)["generation"] == max(c.stores) and
          "rules" not in c.filter()["text"], out, err, c.filter())
    c.wait()


def check_refusals(c):
    few = write_rules("few.rules", ["# a comment", "keep udp any any any 9", "", "keep tcp any any"])
    c.refused("a wrong expression", "filter=tcp prot 80", says="tcp prot 80")
    c.refused("an expression that can match nothing", "filter=tcp and udp")
    c.refused("rules that are not there", "rules=/nowhere/rules", says="/nowhere/rules")
    c.refused("a fault in rules, with file and line", f"rules={few}", says=f"{few}:4:")
    c.refused("a wrong one beside a good one", "snaplen=64", "fragments=all", says="fragments")
    c.refused("a wrong snaplen", "snaplen=5")
    c.refused("after without a cutoff", "after=drop", says="cutoff")
    c.refused("an unknown key", "colour=red", says="colour")
    c.refused("an unknown tunnel", "inner=gre,l2tp", says="l2tp")
    # In force is what was there before, for the next change as well.
    c.set(lambda p: min(100, of_the_wire(p)), "snaplen=100", filters=["ether proto 0x88b5"])
    claim(f"{c.name}: what was refused is not in the next change", "udp" not in c.filter()["text"], c.filter())
    c.wait()
    got = c.d.cli("set", "nobody", "filter=udp")
    claim(f"{c.name}: an unknown recording: exit code 2, named", got.returncode == 2 and "nobody" in got.stderr, got)


def check_tables(c):
    """Of a filter whose tables find no memory nothing comes into force."""
    before = c.in_force()
    change = {"cmd": "set", "recording": c.recording, "cutoff": "1KiB", "cutoff_flows": 1 << 28}
    c.d.client.ask(**change)  # waits for the change before it
    until("it to be tried", lambda: not c.filter()["pending"])
    got = c.d.client.ask(**change)
    warnings = c.d.status()["warnings"]
    claim(f"{c.name}: tables that find no memory: refused, with the reason, nothing changed",
          not got["ok"] and not got["usage"] and "memory" in got["error"] and c.in_force() == before, got, c.filter())
    claim(f"{c.name}: and status warns of it", "memory" in (c.filter()["error"] or "") and
          any(f"'{c.recording}': no memory for a cutoff" in w for w in warnings), warnings, c.filter())
    r = c.d.trigger(c.recording)
    c.d.wait_received(r, 100)
    c.d.cli("stop", r)
    claim(f"{c.name}: and the next run begins", c.d.find(r)["state"] == "ended", c.d.find(r))


def check_later(d, name):
    """A run that begins after a set has it; a reload goes back to the file."""
    got = d.cli("set", "later", "filter=dst port 9")
    claim(f"{name}: set of a recording without a run says so",
          got.returncode == 0 and "no run is live" in got.stdout, got)
    other = d.trigger("--port", "gen", "-o", "null:", "--name", "later")
    got = d.cli("set", "--json", "later", "filter=dst port 9")
    live = next(r["live"] for r in d.status()["recordings"] if r["name"] == "later")
    claim(f"{name}: a run that is called so, but is not of the recording, is not told as its own",
          got.returncode == 0 and json.loads(got.stdout)["runs"] == [] and not live, got, live)
    d.cli("stop", other)
    first = d.trigger("later")
    d.wait_received(first, 300)
    d.cli("stop", first)
    d.cli("reload")
    second, third = d.trigger("later"), d.trigger("later")
    d.wait_received(third, 300)
    got = d.cli("set", "--json", "later", "filter=src port 9")
    answer = json.loads(got.stdout) if got.returncode == 0 else {"runs": [], "since": "1970-01-01T00:00:00Z"}
    claim(f"{name}: a set of two live runs names both", answer["runs"] == [second, third], got)
    until("both to have it", lambda: ns_of(d.status()["now"]) > ns_of(answer["since"]))
    d.wait_received(third, d.find(third)["received_pkts"] + 300)
    d.cli("stop", "later")
    return first, second, third, ns_of(answer["since"])


def claim_later(name, summary, first, second, third, since_ns):
    (one,), (two, new), (_, newer) = (sorted(files_of(summary, r)) for r in (first, second, third))
    claim(f"{name}: a run that begins after set has it", told_by(one).filters == (("dst port 9",),) * 2 and
          read(one) and all(map(asked, read(one))), told_by(one))
    claim(f"{name}: and one after a reload what the file says", told_by(two).filters == ((), ()) and
          any(p.sport == 9 for p in read(two)), told_by(two))
    claim(f"{name}: and two that run from when on both have what was set then",
          max(told_by(f).since_ns for f in (new, newer)) == since_ns and
          all(told_by(f).filters == (("src port 9",),) * 2 and all(map(answered, read(f))) for f in (new, newer)),
          told_by(new), told_by(newer), since_ns)


def check_reload_after_set(c):
    got = c.d.cli("reload")
    claim(f"{c.name}: a reload after set goes back to the file, and says so",
          got.returncode == 0 and f"recording '{c.recording}' changed" in got.stdout and c.filter()["text"] == "", got,
          c.filter())
    c.stores[max(c.stores) + 1] = (everything, [])
    c.wait()


def part_set():
    name = "set"
    wire = Wire("fl")
    where = {x: folder(f"{name}-{x}") for x in ("all", "live", "later")}
    d = Daemon(name, conf(name, [two_queues("gen", SET_TRAFFIC), port("wire", wire.near)], [
        recording("all", "gen wire", where["all"], 'when = "always";'),
        recording("live", "gen wire", where["live"], 'when = "always";'),
        recording("later", "gen wire", where["later"]),
    ]))
    balance = BalanceWatch(d)
    wire.send_on()
    c = Changes(name, d, "live")
    c.wait()
    check_sets(c)
    check_refusals(c)
    check_many_rules(c)
    check_tables(c)
    c.set(everything, "filter=", "snaplen=")
    c.wait()
    c.set(asked, "filter=dst port 9", filters=["dst port 9"])
    c.wait()
    check_reload_after_set(c)
    later = check_later(d, name)
    live = live_run(d, "live")
    d.cli("stop", "live")
    wire.quiet()
    balance.done(name)
    summary = d.end()
    claim_nothing_lost(name, summary)
    reference = reference_of(summary)
    # The kernel may lose some of a wire's where the machine is busy; it counts them.
    missing, first = missing_in(reference)
    claim(f"{name}: the recording beside it has every number of each flow that came in", len(reference) > 3000 and
          len({p[5:8] for p in reference}) == 5 and missing <= sum(map(lost_of, summary["ports"])), missing, first)
    c.claim_files(run_of(summary, live), reference)
    claim_later(name, summary, *later)
    claim_valid(name, *where.values())


# reload


def part_reload():
    """A file of rules is changed under its name."""
    name = "reload"
    where = {x: folder(f"{name}-{x}") for x in ("all", "ruled")}
    rules = write_rules("office.rules", ["keep udp any any any 9"])
    d = Daemon(name, conf(name, [two_queues("gen", SET_TRAFFIC)], [
        recording("all", "gen", where["all"], 'when = "always";'),
        recording("ruled", "gen", where["ruled"], f'when = "always"; filter = "udp"; rules_file = "{rules}";'),
    ]))
    c = Changes(name, d, "ruled")
    c.stores = {1: (asked, ["udp"])}
    live = until("the run with rules", lambda: live_run(d, "ruled"))
    d.wait_received(live, 300)

    def swapped(text, lines, stores):
        generation = c.filter()["generation"]
        write_rules("office.rules", lines)
        got = d.cli("reload")
        claim(f"{name}: {text}: reload says that the recording changed",
              got.returncode == 0 and "recording 'ruled' changed" in got.stdout and "'all'" not in got.stdout, got)
        until("the new rules", lambda: c.filter()["generation"] == generation + 1)
        c.stores[generation + 1] = (stores, ["udp"])
        c.wait()
        claim(f"{name}: {text}: in the same run", live_run(d, "ruled") == live, live)

    swapped("rules that changed under their name", ["cut=64 udp any 9 any any"], lambda p: min(64, answered(p)))
    write_rules("office.rules", ["keep udp any any any 9", "keep udp any any any 99999"])
    before = c.filter()
    got = d.cli("reload")
    claim(f"{name}: a broken file of rules: exit code 2, its file and line, and the line of the settings",
          got.returncode == 2 and f"{rules}:2:" in got.stderr and f"{d.conf}:" in got.stderr, got)
    d.wait_received(live, d.find(live)["received_pkts"] + 300)
    claim(f"{name}: and the old rules go on", c.filter() == before and live_run(d, "ruled") == live, before, c.filter())
    swapped("rules that were mended", [*many_rules(2000), "cut=headers udp any any any any"], lambda p: 42)
    d.cli("stop", "ruled")
    summary = d.end()
    claim_nothing_lost(name, summary)
    c.claim_files(run_of(summary, live), reference_of(summary))


# record, of what scapy made


def record(name, path, *options):
    """The run's account, and of its packets (number, length, captured length)."""
    where = folder(name)
    got = run(WIRESPOOL, "record", "--json", "-o", where, *options, f"pcap:{path},speed=max")
    if got.returncode != 0:
        raise RuntimeError(f"record {options}: {got.returncode} {got.stderr}")
    account = json.loads(got.stdout)["runs"][0]
    parts = ("outside_window", "filtered", "cutoff", "written", "lost_ring", "lost_memory", "lost_disk")
    packets = [p for f in sorted(account["files"]) for p in tshark(f, "eth.src", "frame.len", "frame.cap_len")]
    claim(f"{name}: the account balances, and the files hold what is written",
          account["received_pkts"] == sum(account[p + "_pkts"] for p in parts) and
          account["written_pkts"] == len(packets) and not lost_of(account) and
          account["written_bytes"] == sum(int(p[2]) for p in packets), account, len(packets))
    return account, [(number_of(p[0]), int(p[1]), int(p[2])) for p in packets]


def number_of(eth_src):
    """Of a packet that bears its number in its (outermost) Ethernet source address."""
    return int(eth_src.split(",")[0].replace(":", "")[-4:], 16)


def write_numbered(path, packets):
    frames = []
    for i, p in enumerate(packets):
        data = raw(p)
        frames.append(Ether(data[:6] + b"\x02\0\0\0" + i.to_bytes(2, "big") + data[12:]))
    wrpcap(path, frames)
    return [len(f) for f in frames]


E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ETHERNET, IPV4, IPV6, TCP_HEAD, UDP_HEAD, TAG = 14, 20, 40, 20, 8, 4


def part_rules():
    """A cut for each rule."""
    name = "rules"
    body = Raw(b"x" * 500)
    web = IP(src="10.1.2.3", dst="10.9.0.1") / TCP(sport=5000, dport=443) / body
    dns = IP(src="10.5.0.1", dst="10.6.0.1") / UDP(sport=5000, dport=53) / body
    ssh = IP(src="10.5.0.1", dst="10.6.0.1") / TCP(sport=22, dport=5000) / body
    other = IP(src="10.5.0.1", dst="10.6.0.1") / TCP(sport=5000, dport=8080) / body
    other6 = IPv6(src="2001:db8::1", dst="2001:db8:1::2") / UDP(sport=5000, dport=8080) / body
    inside6 = IPv6(src="2001:db8:7::1", dst="2001:db8:1::2") / UDP(sport=5000, dport=8080) / body
    back = IP(src="10.9.0.1", dst="10.1.255.255") / TCP(sport=443, dport=5000) / body
    rules = write_rules("cuts.rules", [
        "# whole packets of one net, headers of the rest",
        "drop          tcp  any               any  any  22  either way",
        "keep          any  10.1.0.0/16       any  any  any either way",
        "keep          any  2001:db8:7::/48   any  any  any",
        "cut=64        udp  any               any  any  53",
        "cut=headers+8 tcp  any               any  any  8000-8999",
        "cut=headers   any  any               any  any  any",
    ])
    whole = None
    tcp4 = ETHERNET + IPV4 + TCP_HEAD
    made = [  # packet, bytes stored by these rules; None: all, 0: not kept
        (E / web, whole), (E / back, whole), (E / Dot1Q(vlan=7) / back, whole), (E / inside6, whole),
        (E / dns, 64), (E / Dot1Q(vlan=7) / dns, 64), (E / ssh, 0), (E / Dot1Q(vlan=7) / Dot1Q(vlan=8) / ssh, 0),
        (E / other, tcp4 + 8), (E / Dot1Q(vlan=7) / other, TAG + tcp4 + 8), (E / other6, ETHERNET + IPV6 + UDP_HEAD),
        (E / IP(src="10.5.0.1", dst="10.6.0.1") / ICMP() / body, ETHERNET + IPV4 + 8),
        (E / ARP() / Raw(b"\0" * 18), ETHERNET + 28),
        (E / IP(src="10.1.0.9", dst="10.6.0.1") / TCP(sport=5000, dport=22) / body, 0),
    ]
    path = f"{WORK}/rules.pcap"
    lengths = write_numbered(path, [p for p, _ in made])
    stored = [length if cut is None else cut for (_, cut), length in zip(made, lengths)]

    def check(text, stores, *options):
        account, packets = record(f"{name}-{text.replace(' ', '-')}", path, "--rules", rules, *options)
        wanted = [(i, lengths[i], n) for i, n in enumerate(stores) if n]
        claim(f"{name}: {text}: each packet is kept and cut as its rule says", packets == wanted and
              account["filtered_pkts"] == len(made) - len(wanted), packets, wanted)

    check("cuts", stored)
    check("cuts and a snaplen", [min(n, 100) for n in stored], "-s", "100")
    check("rules and an expression", [n if "TCP" in p else 0 for n, (p, _) in zip(stored, made)], "-f", "tcp")
    rules = write_rules("none.rules", ["keep udp any any any 53"])
    check("what no rule matches is dropped", [length if UDP in p and p[UDP].dport == 53 else 0
                                              for (p, _), length in zip(made, lengths)])


def part_cutoff():
    """Of each flow so much from its beginning."""
    name = "cutoff"
    flows = []

    def there(i, body):
        return E / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000 + i, dport=80) / Raw(b"x" * body)

    def back(i, body):
        return E / Dot1Q(vlan=7) / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000 + i) / Raw(b"y" * body)

    heads = ETHERNET + IPV4 + TCP_HEAD
    for i in range(2):  # long, both directions; every packet has 1024 bytes, so that the limit is met exactly
        flows.append([(there(i, 1024 - heads), heads) if k % 2 else (back(i, 1024 - heads - TAG), heads + TAG)
                      for k in range(30)])
    flows.append([(there(5, 300), heads)] * 5)  # short
    flows.append([(E / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=7, dport=8) / Raw(b"z" * 1300),
                   ETHERNET + IPV6 + UDP_HEAD)] * 20)
    flows.append([(E / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=80) / Raw(b"x" * 900),
                   ETHERNET + IPV4 + UDP_HEAD)] * 14)  # the first flow's ports, but UDP
    flows.append([(E / IP(src=a, dst=b) / ICMP() / Raw(b"p" * 1000), ETHERNET + IPV4 + 8)
                  for a, b in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")] * 8])
    flows.append([(E / ARP() / Raw(b"\0" * 1000), None)] * 15)  # no IP: no flow
    made = []  # (flow, packet, headers), the flows mixed
    for k in range(max(map(len, flows))):
        made += [(i, *f[k]) for i, f in enumerate(flows) if k < len(f)]
    path = f"{WORK}/cutoff.pcap"
    lengths = write_numbered(path, [p for _, p, _ in made])

    def beyond(limit):
        before, found = collections.Counter(), []
        for (flow, _, heads), length in zip(made, lengths):
            found.append(heads is not None and before[flow] >= limit)
            before[flow] += length
        return found

    for text, limit in (("10 KiB", 10240), ("10239", 10239), ("1", 1)):
        gone = beyond(limit)
        account, packets = record(f"{name}-{limit}", path, "--cutoff", text, "--after", "drop")
        claim(f"{name}: {text} of each flow, then nothing: what is not stored is counted as cut off",
              packets == [(i, n, n) for i, n in enumerate(lengths) if not gone[i]] and
              account["cutoff_pkts"] == sum(gone) > 0 and account["filtered_pkts"] == 0, account, packets)
    gone = beyond(10240)
    account, packets = record(f"{name}-headers", path, "--cutoff", "10 KiB")
    claim(f"{name}: 10 KiB of each flow, then headers: all packets are there",
          packets == [(i, n, made[i][2] if gone[i] else n) for i, n in enumerate(lengths)] and
          account["cutoff_pkts"] == 0 and account["cutoff_beyond_pkts"] == sum(gone), account, packets)
    account, packets = record(f"{name}-filter", path, "--cutoff", "10KiB", "--after", "drop", "-f", "udp")
    udp = ["UDP" in p for _, p, _ in made]
    claim(f"{name}: with an expression: filtered and cut off are told apart",
          [i for i, *_ in packets] == [i for i in range(len(made)) if udp[i] and not gone[i]] and
          account["cutoff_pkts"] == sum(u and g for u, g in zip(udp, gone)) and
          account["filtered_pkts"] == len(made) - sum(udp), account)


def part_full():
    """A cutoff's table that is too small: what finds no place is kept whole, and counted."""
    name = "full"
    where = folder("full-stripe")
    both = 4000  # flows as a cutoff counts them: both directions are one
    each = 4  # packets of each, two of either direction
    d = Daemon(name, conf(name, [port("gen", f"gen:rate=max,size=128,flows={2 * both},count={each * both}")], [
        recording("small", "gen", where, 'cutoff = "100"; after = "drop"; cutoff_flows = 1024;')]))
    r = d.trigger("small")
    ended = d.wait_state(r, "ended")
    kept = ended["cutoff_table_full_pkts"] // each  # flows without a place
    claim(f"{name}: flows that find no place in the table are kept whole, and counted",
          ended["received_pkts"] == each * both and 0 < kept <= both - 1024 and
          ended["cutoff_table_full_pkts"] == each * kept and ended["cutoff_pkts"] == (each - 1) * (both - kept), ended)
    summary = d.end()
    fields = ("frame.cap_len", "ip.src", "udp.srcport", "udp.dstport")
    packets = [p for f in files_of(summary, r) for p in tshark(f, *fields)]
    clients = collections.Counter((a, sport) for _, a, sport, dport in packets if dport == "9")
    claim(f"{name}: so of each flow all is there, or its first packet alone, and whole",
          len(clients) == both and list(clients.values()).count(2) == kept and {p[0] for p in packets} == {"124"} and
          len(packets) == each * kept + both - kept == ended["written_pkts"], len(clients), len(packets))


# Expressions

Options = collections.namedtuple("Options", "vlan fragments inner", defaults=("any", "keep", ()))


def wanted_of(p, o, matches, could):
    """matches: what the expression says of a whole packet behind what stands before IP; could: of a later fragment."""
    if p.tags and o.vlan == "strict":
        return False
    if p.extended and o.fragments == "literal":
        return False
    if not p.later:
        return matches(p)
    if o.fragments == "literal":
        return False
    if o.fragments == "follow" and not p.orphan:
        return matches(p)
    return could(p)


def is_dns(p):
    return p.protocol == "udp" and p.dns


def part_expressions():
    name = "expressions"
    path = f"{WORK}/expressions.pcap"
    made = filters_packets.write(path)
    tunnels = ("ipip", "gre", "vxlan", "geneve", "gtp-u")

    def plain_or_inside(p, o):
        """udp port 53: of the packet, or in the tunnels that are looked into."""
        if p.tunnel is None:
            return wanted_of(p, o, is_dns, lambda q: q.protocol == "udp")
        return p.tunnel in o.inner and wanted_of(p, o, is_dns, lambda q: q.protocol == "udp")

    def web_or_rest(p, o):
        """not udp port 53, of the outermost packet."""
        return p.tunnel is not None or not is_dns(p) or p.later

    cases = [("udp port 53", Options(), plain_or_inside),
             ("udp port 53", Options(vlan="strict"), plain_or_inside),
             ("udp port 53", Options(fragments="follow"), plain_or_inside),
             ("udp port 53", Options(fragments="literal"), plain_or_inside),
             ("udp port 53", Options("strict", "literal"), plain_or_inside),
             ("udp port 53", Options(inner=tunnels), plain_or_inside),
             ("udp port 53", Options(fragments="follow", inner=tunnels), plain_or_inside),
             ("not udp port 53", Options(), web_or_rest),
             ("vlan 100 and udp port 53", Options(),
              lambda p, o: p.tags == ("vlan",) and p.vid == 100 and p.tunnel is None and
              wanted_of(p, o, is_dns, lambda q: q.protocol == "udp")),
             ("ip6 and udp port 53", Options(),
              lambda p, o: p.tunnel is None and p.version == 6 and plain_or_inside(p, o))]
    cases += [("udp port 53", Options(inner=t), plain_or_inside) for t in (tunnels[:2], tunnels[2:4], tunnels[4:])]

    def check(number, case):
        expression, o, wanted = case
        options = ["-f", expression, "--vlan", o.vlan, "--fragments", o.fragments]
        options += ["--inner", ",".join(o.inner)] if o.inner else []
        _, packets = record(f"{name}-{number}", path, *options)
        kept = {i for i, *_ in packets}
        due = {i for i, p in enumerate(made) if wanted(p, o)}
        claim(f"{name}: {expression}, {o.vlan}, {o.fragments}, inside {' '.join(o.inner) or 'none'}: "
              f"just what was made so is kept", kept == due and len(packets) == len(due) > 0,
              "too many: " + "; ".join(made[i].name for i in sorted(kept - due)),
              "missing: " + "; ".join(made[i].name for i in sorted(due - kept)))
        if o.vlan == "strict" and o.fragments == "literal":
            run("tcpdump", "-r", path, "-w", f"{path}.tcpdump", expression)
            theirs = {number_of(p[0]) for p in tshark(f"{path}.tcpdump", "eth.src")}
            claim(f"{name}: {expression}, strict and literal: just what tcpdump keeps", kept == theirs, kept ^ theirs)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, range(len(cases)), cases))


# status


def part_status():
    """What status tells of filters."""
    name = "status"
    where = folder("status-stripe")
    rules = write_rules("status.rules", ["keep any any any any any"])
    d = Daemon(name, conf(name, [port("gen", "gen:rate=1M,size=128,tcp=50,flows=4")], [
        recording("plain", "gen", where),
        recording("chain", "gen", where, 'filter = "ip protochain 6"; when = "always";'),
        recording("both", "gen", where, f'filter = "udp"; rules_file = "{rules}"; snaplen = "96"; vlan = "strict";'
                  'cutoff = "20 KiB"; after = "drop"; fragments = "follow"; inner = ["gre", "vxlan"];'),
    ]))
    chain = until("the run", lambda: live_run(d, "chain"))
    until("the rules", lambda: not any(r["filter"]["pending"] for r in d.status()["recordings"]))
    status = json.loads(d.cli("status", "--json").stdout)
    filters = {r["name"]: r["filter"] for r in status["recordings"]}
    claim(f"{name}: a recording without a filter",
          filters["plain"] == {"generation": 1, "text": "", "engine": "none", "since": None, "pending": False,
                               "error": None}, filters["plain"])
    claim(f"{name}: an expression without native code: its engine, and a warning that names the run",
          filters["chain"]["engine"] == "interpreter" and
          any(chain in w and "interpreted" in w for w in status["warnings"]), filters["chain"], status["warnings"])
    told = filters["both"]["text"]
    claim(f"{name}: all that a filter was made of is told",
          all(x in told for x in ("udp", rules, "96", "20KiB", "drop", "follow", "gre", "vxlan", "strict")), told)
    said = d.cli("status").stdout
    claim(f"{name}: wirespool status tells it to people", '"ip protochain 6"' in said and "interpreted" in said, said)
    d.wait_received(chain, 200)
    summary = d.end()
    r = run_of(summary, chain)
    claim(f"{name}: and the interpreter keeps what it should", r["written_pkts"] > 0 and r["filtered_pkts"] > 0 and
          all(p[0] == "6" for f in r["files"] for p in tshark(f, "ip.proto")), r)


PARTS = {
    # Those of one line side by side; lines one after the other.
    "set": (part_set, part_status),
    "replay": (part_rules, part_cutoff, part_reload, part_full),
    "expressions": (part_expressions,),
}


def main():
    for what in sys.argv[1:] or PARTS:
        threads = [threading.Thread(target=guarded, args=(part,)) for part in PARTS[what]]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    print(f"{len(failed)} claims failed" if failed else "all claims hold", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
