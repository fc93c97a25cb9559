"""Many rx queues on few CPUs; queues.sh starts this, see there.

Two CPUs are all that is used: lcores and writers take turns on them, and get in each other's way. What
a run should hold is known from the generator's own numbers (capture/frames.h): packet k of a queue is
packet k // F of the queue's flow k % F. Nothing here depends on how fast the machine is: where nothing may be
lost, descriptors and rings hold all that comes; where something must be late, a thread is held.
"""

import collections
import contextlib
import ctypes
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
import traceback

WIRESPOOL = os.environ["WIRESPOOL"]
WIRESPOOLD = os.path.join(os.path.dirname(WIRESPOOL), "../control/wirespoold")
WORK = os.environ["WORK"]
CPUS = sorted(os.sched_getaffinity(0))[:2]
PATIENCE_S = 60  # until then a thing must have come about

failed = []
started = []  # daemons


def claim(text, good, *why):
    """One line per claim; why is shown where it does not hold."""
    print(("ok   " if good else "FAIL ") + text, flush=True)
    if not good:
        failed.append(text)
        for item in why:
            print("     " + str(item)[:2000].replace("\n", "\n     "), flush=True)


def until(what, test):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        got = test()
        if got:
            return got
        time.sleep(0.02)
    raise TimeoutError("waited in vain for: " + what)


def output_of(*command):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def tshark(path, *options):
    return output_of("tshark", "-n", "-r", path, *options)


# The daemon


def recording(name, stripe, more='when = "always";'):
    return (f'{{ name = "{name}"; ports = ["gen"]; stripes = ["{stripe}"]; '
            f'rotate = {{ bytes = "3MiB"; }}; {more} }}')


class Daemon:
    def __init__(self, name, device, queues, writers, recordings=None, descriptors=16384):
        self.base = f"{WORK}/{name}"
        os.mkdir(self.base)
        self.files_in = f"{self.base}/files"
        os.mkdir(self.files_in)
        lcores, cpus = (CPUS * queues)[:queues], CPUS[:writers]
        self.settings = (
            f'control: {{ socket = "{self.base}/socket"; }};\n'
            # Huge pages are the machine's: another test may have taken them when this one looks.
            f'memory: {{ huge_pages = false; }}; writers: {{ cpus = {cpus}; memory = "128MiB"; }};\n'
            f'ports: ( {{ name = "gen"; device = "gen:{device}"; lcores = {lcores}; descriptors = {descriptors}; }} );\n'
        )
        self.write(recordings or [recording("all", self.files_in)])
        with open(f"{self.base}/out", "w") as out, open(f"{self.base}/log", "w") as log:
            self.process = subprocess.Popen([WIRESPOOLD, "-c", f"{self.base}/conf"], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=log)
        started.append(self)
        until("the daemon to answer", self.status)

    def write(self, recordings):
        with open(f"{self.base}/conf", "w", encoding="utf-8") as f:
            f.write(self.settings + f'recordings: ( {",".join(recordings)} );\n')

    def said(self):
        with open(f"{self.base}/log", encoding="utf-8") as f:
            return "".join(line for line in f if not line.startswith("EAL: "))

    def status(self):
        got = subprocess.run([WIRESPOOL, "status", "--json", "-S", f"{self.base}/socket"], capture_output=True,
                             text=True, check=False)
        if got.returncode != 0 and self.process.poll() is not None:
            raise RuntimeError("the daemon ended: " + self.said())
        return json.loads(got.stdout) if got.returncode == 0 else None

    def port(self):
        return self.status()["ports"][0]

    def run(self):
        status = self.status()
        return (status["runs"] + status["ended"])[0]

    def received(self):
        """Packets of each queue."""
        return [x["pkts"] for x in self.status()["lcores"]]

    def thread(self, name, index=0):
        """The id of a thread, by its name; of several, in the order in which they began."""
        ids = sorted(int(t) for t in os.listdir(f"/proc/{self.process.pid}/task"))
        found = []
        for t in ids:
            with open(f"/proc/{self.process.pid}/task/{t}/comm", encoding="utf-8") as f:
                if f.read().strip() == name:
                    found.append(t)
        return found[index]

    def end(self):
        """Its summary."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        self.code = self.process.wait(PATIENCE_S)
        with open(f"{self.base}/out", encoding="utf-8") as f:
            text = f.read()
        if not text:
            raise RuntimeError("no summary: " + self.said())
        return json.loads(text)


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def held(thread):
    """One thread stands still, the others go on."""
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, thread)


# The account


def losses(run):
    return run["lost_ring_pkts"] + run["lost_memory_pkts"] + run["lost_disk_pkts"]


def imbalance(summary):
    """Of each line of the account that does not add up: what it is. The lcores' own counts are the port's."""
    port, wrong = summary["ports"][0], []
    if port["offered_pkts"] != sum(port[k + "_pkts"] for k in ("received", "nic_missed", "nic_no_mbuf", "nic_error")):
        wrong.append(port)
    if port["received_pkts"] != sum(x["pkts"] for x in summary["lcores"]):
        wrong.append(summary["lcores"])
    for run in summary["runs"]:
        parts = ("outside_window", "filtered", "written", "lost_ring", "lost_memory", "lost_disk")
        if run["received_pkts"] != sum(run[k + "_pkts"] for k in parts):
            wrong.append(run)
    return wrong


# Reading back. The queue of a packet without epb_queue is 0.

Packet = collections.namedtuple("Packet", "time flow number queue dropcount")
PACKET, STATISTICS = 6, 5
STATISTICS_NAMES = {4: "ifrecv", 5: "ifdrop", 6: "filteraccept", 7: "osdrop", 8: "usrdeliv"}


def options(raw, at, end):
    found = {}
    while at + 4 <= end:
        code, size = struct.unpack_from("<HH", raw, at)
        if code == 0:
            break
        found[code] = int.from_bytes(raw[at + 4:at + 4 + size], "little")
        at += 4 + (size + 3 & ~3)
    return found


def read(path):
    """Packets, and the last statistics block by its names."""
    packets, statistics = [], None
    with open(path, "rb") as f:
        raw = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    at, end, block = 0, len(raw), struct.Struct("<II").unpack_from
    head, stamp = struct.Struct("<III").unpack_from, struct.Struct(">IQ").unpack_from
    while at < end:
        kind, size = block(raw, at)
        if kind == PACKET:
            high, low, captured = head(raw, at + 12)
            flow, number = stamp(raw, raw.find(b"WSPG", at + 28, at + 28 + captured) + 4)
            more = options(raw, at + 28 + (captured + 3 & ~3), at + size - 4)
            packets.append(Packet(high << 32 | low, flow, number, more.get(6, 0), more.get(4, 0)))
        elif kind == STATISTICS:
            more = options(raw, at + 20, at + size - 4)
            statistics = {name: more.get(code) for code, name in STATISTICS_NAMES.items()}
        at += size
    return packets, statistics


def number_of(path):
    return int(path[:path.index(".pcapng")].rsplit("-", 1)[1])


class Files:
    """All files of a run, in the order of their numbers."""

    def __init__(self, run):
        self.paths = sorted(run["files"], key=number_of)
        self.per_file = [read(path) for path in self.paths]
        self.statistics = self.per_file[-1][1]
        self.packets = [p for packets, _ in self.per_file for p in packets]

    def rows(self):
        """The packets of each writer, file after file: a queue is one writer's."""
        rows = {}
        for packets, _ in self.per_file:
            if not packets:
                continue  # a last one, with nothing but the account
            mine = {p.queue for p in packets}
            row = next((r for r in rows if r & mine), frozenset())
            rows[row | mine] = rows.pop(row, []) + packets
        return rows

    def queues(self):
        """The packets of each queue, in order."""
        found = collections.defaultdict(list)
        for p in self.packets:
            found[p.queue].append(p)
        return dict(sorted(found.items()))


def in_order(packets):
    return all(a.time <= b.time for a, b in zip(packets, packets[1:]))


def strictly_ordered(paths):
    """By capinfos: each file for itself."""
    said = output_of("capinfos", "-TrmQo", *paths).split("\n")
    return all(line.strip('"').endswith("True") for line in said if line), said


def frames_of(packets):
    """k of each packet of one queue: from its flow's place among the flows of the queue."""
    place = {flow: i for i, flow in enumerate(sorted({p.flow for p in packets}))}
    return [p.number * len(place) + place[p.flow] for p in packets]


def apart(files):
    """Flows that are on more than one queue, or not where their other direction is."""
    queues = collections.defaultdict(set)
    for p in files.packets:
        queues[p.flow // 2].add(p.queue)
    return {flow: q for flow, q in queues.items() if len(q) != 1}


def claim_valid(name, run):
    got = subprocess.run([WIRESPOOL, "verify", *run["files"]], capture_output=True, text=True, check=False)
    claim(f"{name}: every file is valid", got.returncode == 0 and run["files"], got.stdout)
    good, said = strictly_ordered(run["files"])
    claim(f"{name}: capinfos finds each file in the order of time", good, said)


# Parts

PER_QUEUE = 12000  # fewer than descriptors, and than fit in a ring: so many cannot be lost
FRAMES = "size=64-300,tcp=33,ipv6=27"


def claim_whole(name, summary, files, queues):
    run, port = summary["runs"][0], summary["ports"][0]
    total = PER_QUEUE * queues
    claim(f"{name}: all {total} packets are received and written, {PER_QUEUE} of each queue",
          not imbalance(summary) and port["offered_pkts"] == run["written_pkts"] == total and
          [x["pkts"] for x in summary["lcores"]] == [PER_QUEUE] * queues, imbalance(summary), port, run)
    shared = [text for text in summary["warnings"] if "take turns" in text]
    claim(f"{name}: ... and a warning says which CPUs have several lcores", len(shared) == (2 if queues > 2 else 0), shared)
    wrong = {queue: frames_of(packets)[:3] for queue, packets in files.queues().items()
             if frames_of(packets) != list(range(PER_QUEUE))}
    claim(f"{name}: ... and are in the files once each, every flow in its order",
          not wrong and list(files.queues()) == list(range(queues)), wrong, list(files.queues()))
    claim(f"{name}: ... both directions of a flow on one queue", not apart(files), apart(files))


def part_whole():
    """At a gentle rate, and with lcores that spin."""
    for queues in (1, 2, 4, 8):
        for writers in (1, 2):
            name = f"queues {queues}, writers {writers}"
            rate = f"{65 * queues}M" if writers == 1 else "1200M"
            d = Daemon(f"whole-{queues}-{writers}",
                       f"rate={rate},{FRAMES},count={PER_QUEUE * queues}", queues, writers)
            until("the source to end", lambda: d.port()["ended"])
            summary = d.end()
            run = summary["runs"][0]
            files = Files(run)
            claim_whole(name, summary, files, queues)
            claim_valid(name, run)
            rows = files.rows()
            claim(f"{name}: what a writer merged is in order from its first file to its last",
                  len(rows) == min(queues, writers) and all(in_order(row) for row in rows.values()),
                  [sorted(r) for r in rows])
            claim(f"{name}: ... over several files of 3 MiB at most",
                  len(run["files"]) > len(rows) - (queues == 1) and
                  all(os.path.getsize(path) <= 3 << 20 for path in run["files"]), run["files"])
            claim_account_in_last_file(name, summary, files)
            if queues == 8:
                claim_seen_by_tshark(name, files)


def claim_account_in_last_file(name, summary, files):
    run, port, told = summary["runs"][0], summary["ports"][0], files.statistics
    claim(f"{name}: the last file has the account of the run",
          (told["ifrecv"], told["ifdrop"], told["filteraccept"], told["osdrop"], told["usrdeliv"]) ==
          (port["offered_pkts"], port["offered_pkts"] - port["received_pkts"],
           run["received_pkts"] - run["filtered_pkts"] - run["outside_window_pkts"], losses(run),
           run["written_pkts"]), told, run, port)


def claim_seen_by_tshark(name, files):
    """One file, by the addresses, ports and times that tshark reads."""
    fields = ("frame.time_delta", "frame.interface_queue", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport",
              "udp.dstport", "tcp.srcport", "tcp.dstport")
    said = tshark(files.paths[0], "-T", "fields", *(x for f in fields for x in ("-e", f)))
    queues = collections.defaultdict(set)
    ways = collections.defaultdict(set)
    backwards = 0
    for line in said.splitlines():
        delta, queue, *ends = line.split("\t")
        backwards += float(delta) < 0
        ways[frozenset(x for x in ends if x)].add(tuple(ends))
        queues[frozenset(x for x in ends if x)].add(queue)
    both = [x for x, seen in ways.items() if len(seen) == 2]
    claim(f"{name}: tshark sees no time before the one before, and each conversation on one queue, both ways",
          not backwards and len(both) > 100 and all(len(q) == 1 and q != {""} for q in queues.values()),
          backwards, len(both), dict(list(queues.items())[:3]))


def part_filters():
    """Recordings with the same window: each holds what a filter finds in the whole."""
    wanted = (("udp", "udp", "udp"), ("net", "tcp and src net 10.1.0.0/16", "tcp && ip.src == 10.1.0.0/16"))
    where = f"{WORK}/filters"
    d = Daemon("filters", f"rate=65M,{FRAMES}", 8, 2, [recording("none", f"{where}/files", "")])
    # Far enough ahead that all three are ready when it opens.
    start = time.strftime("%H:%M:%S", time.gmtime(time.time() + 5))
    window = f'when = "windows"; windows: ( {{ days = "daily"; start = "{start}"; length = "1s"; timezone = "UTC"; }} );'
    d.write([recording("all", f"{where}/files", window)] +
            [recording(name, f"{where}/files", f'filter = "{text}"; {window}') for name, text, _ in wanted])
    output_of(WIRESPOOL, "reload", "-S", f"{d.base}/socket")
    until("the window to close", lambda: len(d.status()["ended"]) == 3)
    summary = d.end()
    runs = {r["recording"]: r for r in summary["runs"]}
    claim("three recordings at once: the account balances, nothing is lost",
          len(runs) == 3 and d.code == 0 and not imbalance(summary) and not any(losses(r) for r in runs.values()),
          imbalance(summary), runs)
    whole = f"{where}/whole.pcapng"
    output_of("mergecap", "-w", whole, *runs["all"]["files"])
    for name, _, display_filter in wanted:
        run, files = runs[name], Files(runs[name])
        found = f"{where}/{name}.pcapng"
        tshark(whole, "-Y", display_filter, "-w", found)
        theirs = sorted(p[:3] for p in read(found)[0])
        ours = sorted(p[:3] for p in files.packets)
        claim(f"... '{name}' holds exactly what tshark filters out of 'all', from all queues",
              ours == theirs and len(ours) == run["written_pkts"] and run["filtered_pkts"] > 0 and
              list(files.queues()) == list(range(8)), len(ours), len(theirs), run)
        claim_valid(f"... '{name}'", run)
    claim_valid("... 'all'", runs["all"])


def part_late():
    """One lcore of eight stands still until the rings of the others are three quarters full: 4000 of these frames."""
    each = 5000  # fit in a ring
    d = Daemon("late", f"rate=500M,size=1518,count={8 * each}", 8, 1)
    until("the first packets", lambda: min(d.received()) > 0)
    with held(d.thread("rx-gen-5")):
        until("all others to have theirs", lambda: sorted(d.received())[1:] == [each] * 7)
        before = d.received()[5]
        until("the others to be packed", lambda: d.status()["writers"][0]["pkts"] > 8 * before + 4000)
    until("the source to end", lambda: d.port()["ended"])
    summary = d.end()
    run = summary["runs"][0]
    wrong = [q for q, packets in Files(run).queues().items() if frames_of(packets) != list(range(each))]
    claim("an lcore is held up: the others are packed meanwhile, nothing is lost, all is there",
          before < each and d.code == 0 and not imbalance(summary) and run["written_pkts"] == 8 * each and not wrong,
          before, imbalance(summary), run, wrong)
    claim_valid("... held up lcore", run)


def gaps(packets):
    """Of one queue: [frames missing, dropcount of the packet behind them], and where they are told wrong."""
    k = frames_of(packets)
    found = [(b - a - 1, p.dropcount) for a, b, p in zip(k, k[1:], packets[1:]) if b - a != 1 or p.dropcount]
    return found, [g for g in found if g[0] != g[1]]


def part_missed():
    """One lcore of eight stands still for longer than its descriptors last."""
    d = Daemon("missed", f"rate=130M,{FRAMES},count={8 * PER_QUEUE}", 8, 1, descriptors=256)
    until("the first packets", lambda: min(d.received()) > 0)
    with held(d.thread("rx-gen-5")):
        until("the others to have a quarter", lambda: sorted(d.received())[1] > PER_QUEUE / 4)
    until("the source to end", lambda: d.port()["ended"])
    summary = d.end()
    run, port = summary["runs"][0], summary["ports"][0]
    files = Files(run)
    found = {q: len(packets) for q, packets in files.queues().items()}
    claim("an lcore comes too late: the account balances, and the loss is the port's alone, exit code 3",
          d.code == 3 and not imbalance(summary) and port["offered_pkts"] == 8 * PER_QUEUE and
          port["nic_missed_pkts"] > 1000 and run["written_pkts"] == port["received_pkts"],
          imbalance(summary), run, port)
    claim("... what is missing in each queue's numbers is what its lcore did not count",
          list(found.values()) == [x["pkts"] for x in summary["lcores"]] and
          all(sorted(set(frames_of(packets))) == frames_of(packets) for packets in files.queues().values()),
          found, summary["lcores"])
    told = collections.Counter()
    for p in files.packets:
        told[p.queue] += p.dropcount
    claim("... drop counts tell of it, on packets of the first queue",
          0 < told[0] == told.total() <= port["nic_missed_pkts"], told, port)
    claim_valid("... lcore too late", run)
    claim_account_in_last_file("... lcore too late", summary, files)


def part_writer():
    """One of two writers stands still until its rings overflow, and takes up again."""
    d = Daemon("writer", "rate=1200M,size=1518", 8, 2)
    until("the first packets", lambda: min(d.received()) > 0)
    with held(d.thread("writer", 1)):
        until("losses", lambda: d.run()["lost_ring_pkts"] > 2000)
    seen = d.received()
    until("more of each queue", lambda: all(b - a > 1000 for a, b in zip(seen, d.received())))
    summary = d.end()
    run, port = summary["runs"][0], summary["ports"][0]
    claim("a writer is held up: the account balances, and the loss is the ring's alone, exit code 3",
          d.code == 3 and not imbalance(summary) and run["lost_ring_pkts"] == losses(run) > 2000 and
          port["offered_pkts"] == port["received_pkts"] == run["received_pkts"], imbalance(summary), run, port)
    files = Files(run)
    of_queue = {q: gaps(packets) for q, packets in files.queues().items()}
    lossy = [q for q, (found, _) in of_queue.items() if found]
    claim("... each hole is told to the packet by the packet behind it, and they add up",
          not any(wrong for _, wrong in of_queue.values()) and
          sum(missing for found, _ in of_queue.values() for missing, _ in found) == losses(run),
          {q: wrong[:3] for q, (_, wrong) in of_queue.items()}, run)
    claim("... only the queues of that writer have holes", lossy in ([0, 2, 4, 6], [1, 3, 5, 7]), lossy)
    claim_valid("... held up writer", run)
    claim_account_in_last_file("... held up writer", summary, files)


def part_last_writer():
    """One of two writers has not packed anything yet when the other has sealed its last file."""
    d = Daemon("last-writer", f"rate=100M,{FRAMES}", 3, 2)
    thread = d.thread("writer", 1)
    until("the first packets", lambda: min(d.received()) > 0)
    with held(thread):
        until("the other to begin its next file", lambda: any(f.endswith(".pcapng") for f in os.listdir(d.files_in)))
        d.process.send_signal(signal.SIGTERM)
        until("the other to be done", lambda: d.run()["state"] == "finishing" and
              sum(f.endswith(".part") for f in os.listdir(d.files_in)) == 1)
    summary = d.ended()
    run = summary["runs"][0]
    claim("a writer comes last: the account balances, nothing is lost",
          d.code == 0 and not imbalance(summary), imbalance(summary))
    claim_valid("... last writer", run)
    claim_account_in_last_file("... last writer", summary, Files(run))


def part_overload():
    """148 million packets a second for two CPUs, all of eight queues."""
    total = 100000000
    d = Daemon("overload", f"rate=100G,size=64,count={total}", 8, 1, [recording("all", "null:")], descriptors=4096)
    until("the source to end", lambda: d.port()["ended"])
    summary = d.end()
    run, port = summary["runs"][0], summary["ports"][0]
    claim(f"far too much: all {total} packets are in the account, and it balances, exit code 3",
          d.code == 3 and not imbalance(summary) and port["offered_pkts"] == total and
          port["received_pkts"] == run["received_pkts"], imbalance(summary), port, run)
    claim("... most were missed, and every queue received some",
          port["nic_missed_pkts"] > 0 and min(x["pkts"] for x in summary["lcores"]) > 0, port, summary["lcores"])


PARTS = {
    "whole": part_whole,
    "filters": part_filters,
    "late": part_late,
    "missed": part_missed,
    "writer": part_writer,
    "last_writer": part_last_writer,
    "overload": part_overload,
}


def main():
    for name in sys.argv[1:] or PARTS:
        began = time.monotonic()
        try:
            PARTS[name]()
        except Exception as e:  # the other parts go on
            claim(f"{name} comes to its end", False, *traceback.format_exception(e)[-3:], *(d.said() for d in started))
        finally:
            for d in started:
                d.process.kill()
                d.process.wait()
            started.clear()
        print(f"note {name}: {time.monotonic() - began:.1f} s", flush=True)
    print(f"{len(failed)} claims failed" if failed else "all claims hold", flush=True)
    sys.exit(1 if failed else 0)


main()
