"""A real wirespoold from its start to its end; daemon.sh starts this, see there.

Parts with a daemon each run side by side: most of their time is waiting for windows. No length of
time is asserted: what a file should hold follows from times that the daemon and the packets bear.
"""

import calendar
import contextlib
import glob
import grp
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

WIRESPOOL = os.environ["WIRESPOOL"]
WIRESPOOLD = os.path.join(os.path.dirname(WIRESPOOL), "../control/wirespoold")
WORK = os.environ["WORK"]
TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
PATIENCE_S = 60  # until then a thing must have come about; as long as anybody would wait

failed = []
print_lock = threading.Lock()


def claim(text, good, *why):
    """One line per claim; why is shown where it does not hold."""
    with print_lock:
        print(("ok   " if good else "FAIL ") + text, flush=True)
        if not good:
            failed.append(text)
            for item in why:
                print("     " + str(item)[:3000].replace("\n", "\n     "), flush=True)
    return good


def until(what, test):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        got = test()
        if got:
            return got
        time.sleep(0.02)
    raise TimeoutError("waited in vain for: " + what)


def ns_of(text):
    """2026-11-21T03:30:00.123Z or ...00Z as ns since the epoch."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
    return whole * 10**9 + int((fraction + "000000000")[:9])


def run(*command, **options):
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S * 2, **options
    )


def folder(name):
    path = os.path.join(WORK, name)
    os.makedirs(path, exist_ok=True)
    return path


# Settings, as text

# 1200 packets a second: what a ring holds lasts for seconds, even on a machine that is busy elsewhere.
QUIET = "gen:rate=5M,size=512,flows=1"


def conf(name, ports, recordings, group=None, more="", memory="64MiB"):
    group = f'group = "{group}";' if group else ""
    return (
        f'control: {{ socket = "{WORK}/{name}.sock"; {group} stop_timeout = "30s"; }};\n'
        # Huge pages are the machine's: another test may have taken them when this one looks.
        f'memory: {{ huge_pages = false; }}; writers: {{ memory = "{memory}"; }};\n{more}\n'
        f'ports: (\n{",".join(ports)}\n);\nrecordings: (\n{",".join(recordings)}\n);\n'
    )


def port(name, device, more=""):
    return f'{{ name = "{name}"; device = "{device}"; descriptors = 16384; {more} }}\n'


def recording(name, ports, stripe, more='when = "trigger";'):
    names = ", ".join(f'"{p}"' for p in ports.split())
    return f'{{ name = "{name}"; ports = [{names}]; stripes = ["{stripe}"]; {more} }}\n'


def windows(*rules):
    items = ",".join(
        f'{{ {rule}; start = "{start}"; length = "{length}"; timezone = "{zone}"; }}'
        for rule, start, length, zone in rules
    )
    return f'when = "windows"; windows: ( {items} ); snaplen = "64";'


# The daemon


def lost_of(o):
    return sum(
        o.get(k, 0)
        for k in (
            "nic_missed_pkts",
            "nic_no_mbuf_pkts",
            "lost_ring_pkts",
            "lost_memory_pkts",
            "lost_disk_pkts",
            "in_ram_pkts",
        )
    )


def imbalance(status):
    """Of a status or a summary: the lines whose account does not balance."""
    wrong = []
    for p in status["ports"]:
        if p["offered_pkts"] != p["received_pkts"] + p["nic_missed_pkts"] + p["nic_no_mbuf_pkts"] + p["nic_error_pkts"]:
            wrong.append(p)
    for r in status["runs"] + status.get("ended", []):
        parts = ("outside_window", "filtered", "cutoff", "written", "lost_ring", "lost_memory", "lost_disk", "in_ram")
        if r["received_pkts"] != sum(r.get(k + "_pkts", 0) for k in parts) or any(
            r.get(k + "_pkts", 0) < 0 or r.get(k + "_pkts", 0) > 2**62 for k in parts
        ):
            wrong.append(r)
    return wrong


class Client:
    """One connection, spoken to as the protocol says."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.rest = b""

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        while b"\n" not in self.rest:
            got = self.socket.recv(65536)
            if not got:
                raise EOFError("closed before the answer: " + repr(self.rest))
            self.rest += got
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def ask(self, **request):
        self.send(json.dumps(request).encode() + b"\n")
        return self.answer()


class Daemon:
    def __init__(self, name, text, fake_time=None, env=None, wait=True):
        self.name = name
        self.conf = f"{WORK}/{name}.conf"
        self.socket = f"{WORK}/{name}.sock"
        self.write(text)
        self.log = f"{WORK}/{name}.log"
        environment = dict(os.environ, **(env or {}))
        if fake_time:
            environment["WIRESPOOL_FAKE_TIME"] = fake_time
        with open(self.log, "a") as log, open(f"{WORK}/{name}.out", "w") as out:
            self.process = subprocess.Popen(
                [WIRESPOOLD, "-c", self.conf], stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment
            )
        self.client = None
        if wait:
            self.wait_ready()

    def write(self, text):
        with open(self.conf, "w") as f:
            f.write(text)

    def said(self):
        with open(self.log) as f:
            return f.read()

    def wait_ready(self):
        def answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name}: did not start: {self.said()}")
            try:
                self.client = Client(self.socket)
            except OSError:
                return False
            return True

        until("the socket of " + self.name, answers)
        try:
            self.status()  # answered once ports are up
        except (OSError, EOFError) as e:
            raise RuntimeError(f"{self.name}: did not start: {self.said()}") from e

    def status(self):
        return self.client.ask(cmd="status")

    def cli(self, *arguments):
        return run(WIRESPOOL, arguments[0], "-S", self.socket, *arguments[1:])

    def trigger(self, *arguments):
        got = self.cli("trigger", *arguments)
        if got.returncode != 0:
            raise RuntimeError(got.stderr)
        return got.stdout.strip()

    def find(self, run_id):
        status = self.status()
        return next((r for r in status["runs"] + status["ended"] if r["id"] == run_id), None)

    def wait_state(self, run_id, state):
        def there():
            r = self.find(run_id)
            return r if r and r["state"] == state else None

        return until(f"{run_id} to be {state}", there)

    def wait_received(self, run_id, pkts):
        until(f"{run_id} to receive {pkts}", lambda: self.find(run_id)["received_pkts"] >= pkts)

    def wait_time(self, text):
        until("the clock to show " + text, lambda: ns_of(self.status()["now"]) >= ns_of(text))

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self):
        return self.process.wait(PATIENCE_S)

    def summary(self):
        with open(f"{WORK}/{self.name}.out") as f:
            lines = f.read().splitlines()
        return json.loads(lines[0]) if len(lines) == 1 else None

    def end(self):
        """SIGTERM; the claims that hold for every end. Returns the summary."""
        self.signal(signal.SIGTERM)
        code = self.wait_exit()
        summary = self.summary()
        if summary is None:
            claim(f"{self.name}: the end summary is one line of JSON", False, self.said())
            return {"ports": [], "runs": []}
        lost = sum(lost_of(o) for o in summary["ports"] + summary["runs"])
        claim(
            f"{self.name}: SIGTERM ends it with one summary line and exit code {3 if lost else 0}",
            code == (3 if lost else 0),
            f"exit code {code}, {lost} lost",
            self.said(),
        )
        claim(f"{self.name}: the ledger of the summary balances", not imbalance(summary), imbalance(summary))
        claim(f"{self.name}: the control socket is removed", not os.path.exists(self.socket))
        return summary


class BalanceWatch(threading.Thread):
    """Asks for the status again and again, on a connection of its own."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.client = Client(daemon.socket)
        self.wrong = []
        self.asked = 0
        self.stop = threading.Event()
        self.start()

    def run(self):
        while not self.stop.wait(0.03):
            try:
                status = self.client.ask(cmd="status")
            except (OSError, EOFError):
                return
            self.asked += 1
            self.wrong += imbalance(status)

    def done(self, name):
        self.stop.set()
        self.join()
        claim(f"{name}: the ledger balances at any time (status, {self.asked > 20 and 'many' or self.asked} times)",
              not self.wrong and self.asked > 1, self.wrong[:3], self.asked)


# Reading back, with tshark

FIELDS = ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_name", "ip.id", "eth.type", "udp.srcport")


class Packet(tuple):
    time_ns = property(lambda p: p[0])
    length = property(lambda p: p[1])
    captured = property(lambda p: p[2])
    port = property(lambda p: p[3])
    ip_id = property(lambda p: p[4])

    def same(self):
        """What does not depend on the recording's cut."""
        return (self[0], self[1], self[3], self[4])


def read_packets(paths):
    """Of files in the order of their times."""
    packets = []
    for path in sorted(paths):
        got = run("tshark", "-n", "-r", path, "-T", "fields", *(x for f in FIELDS for x in ("-e", f)))
        if got.returncode != 0:
            raise RuntimeError(f"tshark cannot read {path}: {got.stderr}")
        for line in got.stdout.splitlines():
            at, length, captured, name, ip_id, *more = line.split("\t")
            seconds, _, fraction = at.partition(".")
            packets.append(
                Packet(
                    (
                        int(seconds) * 10**9 + int((fraction + "000000000")[:9]),
                        int(length),
                        int(captured),
                        name,
                        int(ip_id.split(",")[0], 16) if ip_id else None,
                        *more,
                    )
                )
            )
    return packets


def contiguous(packets):
    """gen: with one flow counts in the IP identification: is there no hole? Returns where."""
    for a, b in zip(packets, packets[1:]):
        if b.ip_id != (a.ip_id + 1) % 65536:
            return f"{a} -> {b}"
    return None


def files_of(summary, run_id):
    return next(r["files"] for r in summary["runs"] if r["id"] == run_id)


def claim_valid(name, *folders):
    got = run(WIRESPOOL, "verify", "--json", *folders)
    parsed = subprocess.run(["jq", "-r", ".state"], input=got.stdout, capture_output=True, text=True)
    states = parsed.stdout.split()
    claim(
        f"{name}: every file is sealed and valid, and verify --json is JSON",
        got.returncode == 0 and parsed.returncode == 0 and states and set(states) <= {"sealed", "recovered"},
        got.stdout[:2000],
        got.stderr,
    )
    left = [f for d in folders for f in os.listdir(d) if f.endswith(".part")]
    claim(f"{name}: no .part is left", not left, left)


# Traffic on a veth


class Wire:
    """A pair of interfaces: what is sent into one end comes out of the other."""

    def __init__(self, name):
        self.near, self.far = name + "a", name + "b"
        with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as f:
            f.write("1")  # no frame of the kernel's own
        for command in (
            ("ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far),
            ("ip", "link", "set", self.near, "up"),
            ("ip", "link", "set", self.far, "up"),
        ):
            subprocess.run(command, check=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((self.far, 0))
        self.thread = None

    def send(self, count, ether_type=0x88B5, size=200, first=0):
        """Frames that carry their number behind the Ethernet header."""
        head = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + ether_type.to_bytes(2, "big")
        for number in range(first, first + count):
            self.socket.send((head + number.to_bytes(4, "big")).ljust(size, b"."))
            if number % 50 == 49:
                time.sleep(0.002)

    def send_on(self):
        """In the background, until quiet()."""
        self.stop = threading.Event()

        def send():
            number = 0
            while not self.stop.wait(0.01):
                self.send(10, first=number)
                number += 10

        self.thread = threading.Thread(target=send, daemon=True)
        self.thread.start()

    def quiet(self):
        self.stop.set()
        self.thread.join()


# Parts: windows


def claim_windows(name, summary, always, expected, ready_ns):
    """expected: (recording, start, end) of every run of a window, in UTC; no other may be there."""
    runs = [r for r in summary["runs"] if not r["recording"].startswith("all") and "-trig" not in r["recording"]]
    stop_ns = next(ns_of(r["end"]) for r in summary["runs"] if r["recording"] == "all")
    lost = sum(lost_of(o) for o in summary["ports"] + summary["runs"])
    wanted = []
    for rec, start, end in expected:
        start_ns, end_ns = ns_of(start), ns_of(end)
        # A daemon that came late joins.
        runs_here = [
            r
            for r in runs
            if r["recording"] == rec
            and ns_of(r["end"]) == min(end_ns, ns_of(r["end"]) if end_ns > stop_ns else end_ns)
            and (ns_of(r["start"]) == start_ns or (start_ns < ready_ns and ns_of(r["start"]) <= ready_ns))
        ]
        if not claim(f"{name}: {rec} {start}..{end} has one run", len(runs_here) == 1, runs, ready_ns):
            continue
        wanted.append(runs_here[0]["id"])
        claim_window_exact(f"{name}: {rec} {start}..{end}", runs_here[0], start_ns, end_ns, always, lost)
    others = [r for r in runs if r["id"] not in wanted]
    claim(f"{name}: nothing else opened", not others, others)


def claim_window_exact(name, r, start_ns, end_ns, always, lost):
    packets = read_packets(r["files"])
    times = [p.time_ns for p in packets]
    claim(
        f"{name}: its files hold only packets with start <= time < end, in order",
        packets and times[0] >= start_ns and times[-1] < end_ns and times == sorted(times),
        times[:1],
        times[-1:],
    )
    # Where the daemon came later than the window or left earlier: what the run has itself.
    ports = {p.port for p in packets}
    begin_ns = start_ns if ns_of(r["start"]) == start_ns else times[0] if times else 0
    stop_ns = end_ns if ns_of(r["end"]) == end_ns else times[-1] + 1 if times else 0
    reference = [p for p in always if p.port in ports and begin_ns <= p.time_ns < stop_ns]
    missing = {p.same() for p in reference} - {p.same() for p in packets}
    more = {p.same() for p in packets if p.time_ns >= always[0].time_ns} - {p.same() for p in reference}
    more = {p for p in more if p[0] < always[-1].time_ns}
    claim(
        f"{name}: they hold every packet that the always-run has of that time",
        len(missing) <= lost and len(more) <= lost and reference,
        f"{len(reference)} there, {len(missing)} missing, {len(more)} too many, {lost} lost",
        sorted(missing)[:3],
        sorted(more)[:3],
    )
    claim(f"{name}: as many packets as its ledger says", len(packets) == r["written_pkts"], len(packets), r)


def claim_schedule(name, schedule, summary, expected, stop_ns):
    """What `wirespool schedule` said before is what is expected, and so what then happened."""
    said = sorted((w["recording"], w["start"], w["end"]) for w in schedule if ns_of(w["start"]) < stop_ns)
    wanted = sorted((r, s[:-1] + ".000Z", e[:-1] + ".000Z") for r, s, e in expected)
    claim(f"{name}: wirespool schedule said just these windows before", said == wanted, said, wanted)


def watch_windows(name, fake_time, recordings, expected, until_time, rate="50M", during=None, wire=None):
    ports = [port("left", f"gen:rate={rate},size=1500,flows=1")]
    if wire:
        ports.append(port("right", wire.near))
    d = Daemon(name, conf(name, ports, recordings), fake_time)
    ready_ns = ns_of(d.status()["now"])
    balance = BalanceWatch(d)
    got = d.cli("schedule", "--json", "--next", "40")
    schedule = [json.loads(line) for line in got.stdout.splitlines()]
    warned = d.status()["warnings"]
    claim(f"{name}: the moved clock is a warning in status", any("WIRESPOOL_FAKE_TIME" in w for w in warned), warned)
    if wire:
        wire.send_on()
    if during:
        during(d)
    d.wait_time(until_time)
    if wire:
        wire.quiet()
        time.sleep(0.5)
    balance.done(name)
    stop_ns = ns_of(d.status()["now"])
    summary = d.end()
    always = read_packets(next(r["files"] for r in summary["runs"] if r["recording"] == "all"))
    lost = sum(lost_of(o) for o in summary["ports"] + summary["runs"])
    gap = contiguous([p for p in always if p.port == "left"])
    claim(f"{name}: the always-run has no hole, or a counted one", gap is None or lost > 0, gap)
    claim_schedule(name, schedule, summary, expected, stop_ns)
    claim_windows(name, summary, always, expected, ready_ns)
    claim_valid(name, *(folder(f) for f in os.listdir(WORK) if f.startswith(name + "-stripe")))
    return summary


def stripes(name, what):
    return folder(f"{name}-stripe-{what}")


def part_autumn():
    """The clocks of Berlin go back at 01:00 UTC; windows, a trigger and an always-run side by side."""
    name = "autumn"
    wire = Wire("au")
    recordings = [
        recording("all", "left right", stripes(name, "all"), 'when = "always"; snaplen = "64";'),
        recording(
            "win",
            "left",
            stripes(name, "win"),
            windows(
                ('days = "daily"', "00:59:30", "25s", "UTC"),  # open already: joined
                ('days = "daily"', "02:59:57", "3s", "Europe/Berlin"),
                ('days = "daily"', "02:59:58", "5s", "Europe/Berlin"),  # overlaps, and spans the change
                ('days = "daily"', "02:00:05", "3s", "Europe/Berlin"),  # comes twice: the first is over
                ('days = "daily"', "01:00:04", "3s", "UTC"),
            ),
        ),
        recording("rule", "right", stripes(name, "rule"), windows(
            ('rrule = "FREQ=MONTHLY;BYDAY=-1SU"', "02:59:58", "4s", "Europe/Berlin"))),
        recording("my-trig", "left", stripes(name, "trig"), 'filter = "udp and ip[4:2] & 1 = 0"; snaplen = "headers";'),
    ]
    expected = [
        ("win", "2026-10-25T00:59:30Z", "2026-10-25T00:59:55Z"),
        ("win", "2026-10-25T00:59:57Z", "2026-10-25T01:00:00Z"),
        ("win", "2026-10-25T00:59:58Z", "2026-10-25T01:00:03Z"),
        ("win", "2026-10-25T01:00:04Z", "2026-10-25T01:00:07Z"),
        ("rule", "2026-10-25T00:59:58Z", "2026-10-25T01:00:02Z"),
    ]

    def during(d):
        first = d.trigger("my-trig", "--for", "2s")
        d.wait_state(first, "ended")
        second = d.trigger("my-trig")
        d.wait_received(second, 1000)
        claim("autumn: stop tells the account of the run", d.cli("stop", second).returncode in (0, 3))

    summary = watch_windows(
        name, "2026-10-25T00:59:50Z", recordings, expected, "2026-10-25T01:00:08Z", "200M", during, wire
    )
    triggered = [r for r in summary["runs"] if r["recording"] == "my-trig"]
    claim("autumn: the triggers came and went", len(triggered) == 2, triggered)
    if triggered:
        r = triggered[0]
        claim("autumn: trigger --for 2s is 2 s long", ns_of(r["end"]) - ns_of(r["start"]) == 2 * 10**9, r)
        packets = read_packets(r["files"])
        claim(
            "autumn: its filter keeps the even half, cut behind the headers",
            packets and all(p.ip_id % 2 == 0 and p.captured == 42 for p in packets) and
            abs(r["filtered_pkts"] - r["written_pkts"]) <= 1 + lost_of(r) + sum(lost_of(p) for p in summary["ports"]),
            r, packets[:3])


def part_later():
    """The hour after: windows behind the change, and those that had their opening before it."""
    name = "later"
    recordings = [
        recording("all", "left", stripes(name, "all"), 'when = "always"; snaplen = "64";'),
        recording("twice", "left", stripes(name, "twice"), windows(
            ('days = "sun"', "02:59:56", "3s", "Europe/Berlin"),  # was 00:59:56Z
            ('days = "sun"', "02:30:00", "2h", "Europe/Berlin"))),  # opened once, at 00:30Z
        recording("win", "left", stripes(name, "win"), windows(
            ('days = "daily"', "03:00:00", "3s", "Europe/Berlin"))),
    ]
    expected = [
        ("twice", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"),
        ("win", "2026-10-25T02:00:00Z", "2026-10-25T02:00:03Z"),
    ]
    watch_windows(name, "2026-10-25T01:59:51Z", recordings, expected, "2026-10-25T02:00:04Z")


def part_spring():
    """The clocks of Berlin go forward at 01:00 UTC."""
    name = "spring"
    recordings = [
        recording("all", "left", stripes(name, "all"), 'when = "always"; snaplen = "64";'),
        recording("win", "left", stripes(name, "win"), windows(
            ('days = "daily"', "01:59:56", "3s", "Europe/Berlin"),
            ('days = "daily"', "01:59:58", "4s", "Europe/Berlin"),  # spans the change
            ('days = "daily"', "03:00:01", "3s", "Europe/Berlin"))),
        recording("missing", "left", stripes(name, "missing"), windows(
            ('days = "sun"', "02:30:00", "4s", "Europe/Berlin"))),
    ]
    expected = [
        ("win", "2026-03-29T00:59:56Z", "2026-03-29T00:59:59Z"),
        ("win", "2026-03-29T00:59:58Z", "2026-03-29T01:00:02Z"),
        ("win", "2026-03-29T01:00:01Z", "2026-03-29T01:00:04Z"),
        ("missing", "2026-03-29T01:00:00Z", "2026-03-29T01:00:04Z"),
    ]
    watch_windows(name, "2026-03-29T00:59:49Z", recordings, expected, "2026-03-29T01:00:05Z")


# Parts: settings

BROKEN = """control: { socket = "relative.sock"; stop_timeout = "fast"; };
writers: { memory = "1MiB"; };
ports: (
  { name = "left"; device = "gen:rate=fast"; },
  { name = "left"; device = "gen:rate=1G"; }
);
recordings: (
  { name = "a"; ports = ["nowhere"]; stripes = ["%s/untouched"];
    filter = "tcp prot 80";
    snaplen = "lots"; colour = "red";
    when = "windows"; windows: (
      { days = "mon-xyz"; start = "25:00"; length = "1h"; timezone = "Europe/Atlantis"; } ); }
);
"""

# Line, setting and (a part of) the value or the rule that each fault must name.
BROKEN_FAULTS = (
    (1, "control.socket", "relative.sock"),
    (1, "control.stop_timeout", "fast"),
    (2, "writers.memory", "8MiB"),
    (4, "ports[0].device", "fast"),
    (5, "ports[1].name", "left"),
    (8, "recordings[0].ports", "nowhere"),
    (9, "recordings[0].filter", "tcp prot 80"),
    (10, "recordings[0].snaplen", "lots"),
    (10, "recordings[0].colour", "unknown"),
    (12, "recordings[0].windows[0].days", "xyz"),
    (12, "recordings[0].windows[0].start", "25:00"),
    (12, "recordings[0].windows[0].timezone", "Atlantis"),
)


def claim_faults(text, said, path):
    lines = said.splitlines()
    missing = [
        f for f in BROKEN_FAULTS
        if not any(f"{path}:{f[0]}: {f[1]}" in x and f[2] in x for x in lines)
    ]
    claim(text, not missing, missing, said)


def whole_example():
    """etc/wirespool.conf with every example in force, and the paths and the group of this machine."""
    with open(os.path.join(TREE, "etc/wirespool.conf")) as f:
        text = f.read()
    text = re.sub(r"(?m)^(\t*)#(?! )", r"\1", text)
    text = text.replace('"/data0", "/data1"', f'"{folder("data0")}", "{folder("data1")}"')
    text = text.replace('"/data0"', f'"{folder("data0")}"')
    text = text.replace("/etc/wirespool/office.rules", os.path.join(TREE, "tests/data/office.rules"))
    return text.replace('"wireshark"', f'"{grp.getgrgid(0).gr_name}"').replace('"eth0"', '"lo"')


def part_settings():
    name = "settings"
    path = f"{WORK}/broken.conf"
    with open(path, "w") as f:
        f.write(BROKEN % WORK)
    before = sorted(os.listdir(WORK))
    started = run(WIRESPOOLD, "-c", path)
    claim(f"{name}: a broken file ends the start with exit code 2", started.returncode == 2, started)
    claim_faults(f"{name}: every fault is said with file, line, setting and value", started.stderr, path)
    mine = [x for x in set(os.listdir(WORK)) - set(before) if x.startswith(("untouched", "relative"))]
    claim(f"{name}: nothing was touched, nothing printed", not mine and started.stdout == "", mine, started.stdout)
    checked = run(WIRESPOOL, "check", "-c", path)
    claim(f"{name}: wirespool check says the same and exits with 2",
          checked.returncode == 2 and checked.stderr == started.stderr, checked)

    with open(path, "w") as f:
        f.write('control: {\n  socket = "/x"\n  group = ;\n};\n')
    got = run(WIRESPOOL, "check", "-c", path)
    claim(f"{name}: a fault of syntax has its line", got.returncode == 2 and f"{path}:3:" in got.stderr, got)
    got = run(WIRESPOOLD, "-c", f"{WORK}/none.conf")
    claim(f"{name}: a file that is not there is named, exit code 2",
          got.returncode == 2 and "none.conf" in got.stderr and "No such file" in got.stderr, got)

    got = run(WIRESPOOL, "check", "-c", os.path.join(TREE, "etc/wirespool.conf"))
    claim(f"{name}: etc/wirespool.conf passes wirespool check as it is", got.returncode == 0, got)
    path = f"{WORK}/example.conf"
    with open(path, "w") as f:
        f.write(whole_example())
    got = run(WIRESPOOL, "check", "--print", "-c", path)
    claim(f"{name}: and with every example of it in force", got.returncode == 0 and "Europe/Berlin" in got.stdout and
          "office" in got.stdout and "FREQ=MONTHLY" in got.stdout, got)


# Parts: triggers, reloads, clients


def settings_of_control(name, small_filter="ether proto 0x88b5", extra=(), without=(), left_more="", memory="64MiB",
                        every="1h"):
    recordings = [
        ("all", recording("all", "left", stripes(name, "all"), 'when = "always"; snaplen = "64";')),
        ("changing", recording("changing", "left", stripes(name, "changing"),
                               f'when = "always"; snaplen = "64"; rotate: {{ every = "{every}"; }};')),
        ("inc", recording("inc", "left right", stripes(name, "inc"))),
        ("small", recording("small", "right", stripes(name, "small"), f'filter = "{small_filter}"; snaplen = "32";')),
        ("large", recording("large", "right", stripes(name, "large"), 'filter = "ether proto 0x88b6 or ether proto '
                            '0x88b5";')),
        ("gone", recording("gone", "right", stripes(name, "gone"), 'when = "always";')),
    ]
    kept = [text for key, text in recordings if key not in without] + list(extra)
    ports = [port("left", QUIET, left_more), port("right", "cta")]
    return conf(name, ports, kept, group="adm", memory=memory)


def sent_and_received(d, wire, runs, count, **frame):
    before = {r: d.find(r)["received_pkts"] for r in runs}
    wire.send(count, **frame)
    for r in runs:
        d.wait_received(r, before[r] + count)


def check_triggers(d, wire, name):
    r = d.trigger("inc", "--for", "500ms")
    ended = d.wait_state(r, "ended")
    claim(f"{name}: trigger --for ends by itself", ns_of(ended["end"]) - ns_of(ended["start"]) == 5 * 10**8, ended)

    where = stripes(name, "made")
    r = d.trigger("--port", "right", "-f", "ether proto 0x88b5", "-s", "64", "-o", where, "--name", "made",
                  "--for", "1h", "--packets", "100")
    claim(f"{name}: a made-up recording has the name it was given", r.startswith("made-2"), r)
    wire.send(50, ether_type=0x88B7)
    wire.send(500)
    ended = d.wait_state(r, "ended")
    packets = read_packets(os.path.join(where, f) for f in os.listdir(where))
    claim(f"{name}: --packets 100 ends it with exactly 100, cut at 64, of its filter",
          len(packets) == ended["written_pkts"] == 100 and
          all(p.captured == 64 and p.length == 200 for p in packets), len(packets), ended)

    one, two = d.trigger("inc"), d.trigger("inc")
    got = d.cli("stop", "--json", one)
    stopped = json.loads(got.stdout)
    claim(f"{name}: stop by run id ends that run alone",
          stopped["id"] == one and stopped["state"] == "ended" and d.find(two)["state"] == "live", got, d.find(two))
    three = d.trigger("inc")
    got = d.cli("stop", "inc")
    claim(f"{name}: stop by recording ends all its runs",
          all(d.find(x)["state"] == "ended" for x in (two, three)) and two in got.stdout and three in got.stdout, got)

    for text, arguments in (
        ("unknown recording", ("trigger", "nobody")),
        ("unknown port", ("trigger", "--port", "nowhere", "-o", where)),
        ("bad filter", ("trigger", "--port", "left", "-f", "tcp prot", "-o", where)),
        ("stripe that is not there", ("trigger", "--port", "left", "-o", where + "/none")),
        ("run that is not live", ("stop", three)),
        ("bad time", ("trigger", "--for", "soon", "inc")),
    ):
        got = d.cli(*arguments)
        claim(f"{name}: {text}: exit code 2, and a reason", got.returncode == 2 and got.stderr.startswith(("error: ", "wirespool trigger: ")), got)

    small, large = d.trigger("small"), d.trigger("large")
    sent_and_received(d, wire, (small, large), 300, ether_type=0x88B5)
    sent_and_received(d, wire, (small, large), 200, ether_type=0x88B6, size=1000)
    for what in ("small", "large"):
        d.cli("stop", what)
    packets = {w: read_packets(os.path.join(stripes(name, w), f) for f in os.listdir(stripes(name, w)))
               for w in ("small", "large")}
    claim(f"{name}: two recordings on one port: each has its filter and its snaplen, exactly",
          [(p.length, p.captured) for p in packets["small"]] == [(200, 32)] * 300 and
          [(p.length, p.captured) for p in packets["large"]] == [(200, 200)] * 300 + [(1000, 1000)] * 200,
          {w: (len(p), p[:2]) for w, p in packets.items()})


def live_run(d, name):
    return next((r["id"] for r in d.status()["runs"] if r["recording"] == name and r["state"] == "live"), None)


def filter_in_force(d, name, generation):
    """The filter object of a recording, once its generation is in force in live runs."""
    status = d.status()
    f = next(r["filter"] for r in status["recordings"] if r["name"] == name)
    return f if f["generation"] == generation and f["since"] and status["now"] > f["since"] else None


def claim_generations(name, run, newest):
    """Two files, cut when the filter changed, each with its own filter and the note of its generation."""
    files = sorted(glob.glob(f"{WORK}/**/{run['id']}*.pcapng", recursive=True))
    told = [subprocess.run(["tshark", "-r", f, "-q", "-z", "io,stat,0"], capture_output=True, text=True).returncode
            for f in files]
    notes = [subprocess.run(["capinfos", "-k", "-r", f], capture_output=True, text=True).stdout for f in files]
    claim(f"{name}: a file of each filter, with its generation and since when", told == [0, 0] and
          "filter generation 1" in notes[0] and "filter generation 2 from " + newest["since"] in notes[1] and
          newest["text"] in notes[1], notes, newest)


def check_reloads(d, wire, name):
    """Returns the ids of the always-run before and after its change."""
    untouched, changed, gone = (live_run(d, x) for x in ("all", "changing", "gone"))
    added = recording("added", "right", stripes(name, "added"), 'when = "always";')
    d.wait_received(untouched, 1000)
    small = d.trigger("small")
    sent_and_received(d, wire, [small], 10)
    d.write(settings_of_control(name, "ether proto 0x88b6", [added], ["gone"], "frame_bytes = 2000;", "32MiB", "2h"))
    got = d.cli("reload", "--json")
    answer = json.loads(got.stdout) if got.returncode == 0 else {"applied": [], "needs_restart": []}
    claim(f"{name}: reload says what it applied",
          sorted(answer["applied"]) == ["recording 'added' added", "recording 'changing' changed",
                                        "recording 'gone' removed", "recording 'small' changed"], got)
    restart = "\n".join(answer["needs_restart"])
    claim(f"{name}: and names what needs a restart", "writers.memory" in restart and "frame_bytes" in restart and
          len(answer["needs_restart"]) == 2, got)
    d.wait_state(gone, "ended")
    d.wait_state(changed, "ended")
    after = until("the changed always-run", lambda: live_run(d, "changing"))
    small_filter = until("the new filter of the trigger's run", lambda: filter_in_force(d, "small", 2))
    claim(f"{name}: the recording that was added is live", until("added", lambda: live_run(d, "added")))
    claim(f"{name}: the always-run that did not change goes on", live_run(d, "all") == untouched)
    claim(f"{name}: one whose when or where changed has a new run, one whose filter changed goes on",
          after != changed and live_run(d, "small") == small)
    sent_and_received(d, wire, [small], 30, ether_type=0x88B5)
    sent_and_received(d, wire, [small], 20, ether_type=0x88B6)
    r = json.loads(d.cli("stop", "--json", small).stdout)
    d.wait_state(small, "ended")
    claim(f"{name}: the changed filter is in force", r["written_pkts"] == 30 and r["filtered_pkts"] == 30, r)
    claim_generations(name, r, small_filter)
    d.wait_received(after, 1000)

    def broken():
        before = {r["id"]: r["state"] for r in d.status()["runs"]}
        d.write(BROKEN % WORK)
        got = d.cli("reload")
        claim(f"{name}: a broken file: reload exits with 2", got.returncode == 2 and got.stdout == "", got)
        claim_faults(f"{name}: it names every fault", got.stderr, d.conf)
        return before

    before = broken()
    claim(f"{name}: and leaves everything as it is", {r["id"]: r["state"] for r in d.status()["runs"]} == before,
          before, d.status()["runs"])
    mark = len(d.said())
    d.signal(signal.SIGHUP)
    until("the log of SIGHUP", lambda: "nothing was changed" in d.said()[mark:])
    claim_faults(f"{name}: SIGHUP with a broken file logs every fault", d.said()[mark:], d.conf)
    claim(f"{name}: and changes nothing either", {r["id"]: r["state"] for r in d.status()["runs"]} == before)

    d.write(settings_of_control(name, "ether proto 0x88b6", (), ["gone"], every="2h"))
    d.signal(signal.SIGHUP)
    until("SIGHUP to end the run that is gone", lambda: not live_run(d, "added"))
    claim(f"{name}: SIGHUP follows the file", live_run(d, "all") == untouched and live_run(d, "changing") == after)
    got = d.cli("reload")
    claim(f"{name}: a reload of the same file changes nothing", got.stdout == "nothing has changed\n" and
          live_run(d, "all") == untouched, got)
    return untouched, changed, after


def bad_clients(path, count=100):
    """As many as can be had, of every kind; what they cannot do they leave."""
    kinds = (
        b"\x00\xff garbage \n" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"{" * 70000,  # too long
        b'{"cmd":"status"',  # half a request, the rest never comes
        b"",  # says nothing at all
        b'{"cmd":"status"}\n' * 3000,  # asks and never reads
        b'{"cmd":"trigger","ports":["left"],"stripes":[{}],"filter":[[[1]]]}\n',
        b'[1,2,3]\n"x"\nnull\n{"cmd":5}\n{"cmd":"stop","what":{}}\n{"cmd":"schedule","next":-1e99}\n',
    )
    clients = []
    for i in range(count):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        with contextlib.suppress(OSError):
            s.connect(path)
            s.send(kinds[i % len(kinds)])
            if i % 3 == 0:
                s.shutdown(socket.SHUT_WR)  # half open: listens on
        clients.append(s)
    return clients


def check_clients(d, name):
    untouched = live_run(d, "all")
    answered = 0
    crowds = [bad_clients(d.socket)]
    for i in range(200):
        answered += d.client.ask(cmd="status")["ok"] is True
        if i % 50 == 49:
            for s in crowds.pop():
                s.close()
            crowds.append(bad_clients(d.socket))
    claim(f"{name}: among 100 bad clients a good one has every answer", answered == 200, answered)
    for s in crowds.pop():
        s.close()
    # Silent ones take every place; somebody new must have one in the end.
    silent = []
    for _ in range(100):
        silent.append(socket.socket(socket.AF_UNIX))
        silent[-1].connect(d.socket)
    refused = d.cli("status")
    claim(f"{name}: when every place is taken, that is said", refused.returncode == 1 and
          "too many connections" in refused.stderr, refused)

    def served():
        return d.client.ask(cmd="status")["ok"] and d.cli("status").returncode == 0

    until("wirespool status among silent clients", served)
    claim(f"{name}: who comes while silent clients fill every place is served in the end", True)
    claim(f"{name}: and whoever asks now and then keeps its place", d.client.ask(cmd="status")["ok"])
    for s in silent:
        s.close()
    claim(f"{name}: the run went on", live_run(d, "all") == untouched)


def check_json(d, name):
    for command in (("status", "--json"), ("schedule", "--json"), ("list", "--json"), ("list", "--json", "--segments")):
        got = d.cli(*command)
        parsed = subprocess.run(["jq", "-e", "."], input=got.stdout, capture_output=True, text=True)
        good = parsed.returncode == 0 or (command[0] == "schedule" and got.stdout == "")
        claim(f"{name}: {' '.join(command)} is JSON", got.returncode == 0 and good, got, parsed.stderr)


def part_control():
    name = "control"
    wire = Wire("ct")
    d = Daemon(name, settings_of_control(name))
    at = os.stat(d.socket)
    claim(f"{name}: the socket has mode 0660 and its group",
          stat.S_IMODE(at.st_mode) == 0o660 and at.st_gid == grp.getgrnam("adm").gr_gid, at)
    balance = BalanceWatch(d)
    until("the always-run", lambda: live_run(d, "all"))

    second = run(WIRESPOOLD, "-c", d.conf)
    claim(f"{name}: a second daemon is refused, exit code 1",
          second.returncode == 1 and "a daemon answers on" in second.stderr, second)
    claim(f"{name}: and the first one's socket stays", os.stat(d.socket).st_ino == at.st_ino and d.cli("status").returncode == 0)

    check_triggers(d, wire, name)
    untouched, changed, after = check_reloads(d, wire, name)
    check_clients(d, name)
    check_json(d, name)
    balance.done(name)
    summary = d.end()
    lost = sum(lost_of(o) for o in summary["ports"] + summary["runs"])
    claim(f"{name}: nothing was lost in all this", lost == 0, summary["ports"])

    packets = read_packets(files_of(summary, untouched))
    claim(f"{name}: the untouched run has no gap", contiguous(packets) is None and len(packets) > 3000,
          contiguous(packets))
    old, new = read_packets(files_of(summary, changed)), read_packets(files_of(summary, after))
    claim(f"{name}: the changed always-run hands over without a gap, and nothing is there twice",
          contiguous(old + new) is None, contiguous(old + new))
    claim_valid(name, *(folder(f) for f in os.listdir(WORK) if f.startswith(name + "-stripe")))


# Parts: ends


def part_lossy():
    """More than this machine can take."""
    name = "lossy"
    d = Daemon(name, conf(name, ['{ name = "left"; device = "gen:rate=400G,size=64"; descriptors = 64; }'],
                          [recording("all", "left", "null:")]))
    r = d.trigger("all", "--for", "300ms")
    d.wait_state(r, "ended")
    summary = d.end()
    missed = sum(p["nic_missed_pkts"] for p in summary["ports"])
    claim(f"{name}: packets were lost and counted, exit code 3", missed > 0 and d.process.returncode == 3, summary)


def part_crash():
    name = "crash"
    where = stripes(name, "all")
    text = conf(name, [port("left", "gen:rate=400M,size=1500,flows=1")],
                [recording("all", "left", where, 'when = "always"; rotate: { bytes = "32MiB"; };')])
    d = Daemon(name, text)
    run_id = until("the run", lambda: live_run(d, "all"))
    until("two files", lambda: d.find(run_id)["files_count"] >= 2)
    time.sleep(0.1)
    port_now = d.status()["ports"][0]
    written = d.find(run_id)["written_pkts"]
    lost = lost_of(port_now) + lost_of(dict(d.find(run_id), in_ram_pkts=0))
    d.signal(signal.SIGKILL)
    d.wait_exit()
    left = [f for f in os.listdir(where) if f.endswith(".part")]
    claim(f"{name}: SIGKILL leaves a .part and the socket's file (the test can fail)",
          left and os.path.exists(d.socket), os.listdir(where))
    d = Daemon(name, text)
    claim(f"{name}: a stale socket is replaced", d.cli("status").returncode == 0)
    claim(f"{name}: the .part files were recovered before the start was over",
          all(os.path.exists(os.path.join(where, f[:-5])) or "removed" in d.said() for f in left) and
          not any(run_id in f for f in os.listdir(where) if f.endswith(".part")), os.listdir(where), d.said())
    d.wait_received(until("a run", lambda: live_run(d, "all")), 1000)
    d.end()
    got = run(WIRESPOOL, "list", "--json", where)
    of_run = [x for x in map(json.loads, got.stdout.splitlines()) if x["run"] == run_id]
    claim(f"{name}: list tells the recovered file", [x["state"] for x in of_run][-1:] == ["recovered"], got.stdout)
    packets = read_packets(x["path"] for x in of_run)
    gap = contiguous(packets)
    claim(f"{name}: all that was counted as written before the crash is there, without a gap, or a counted one",
          len(packets) >= written > 0 and (gap is None or lost > 0), len(packets), written, lost, gap)
    claim_valid(name, where)


def part_stuck():
    """A disk that hangs: a frozen file system."""
    name = "stuck"
    where = folder("stuck-disk")
    image = f"{WORK}/stuck.img"
    run("truncate", "-s", "256M", image)
    made = run("mkfs.ext4", "-q", image)
    mounted = run("mount", "-o", "loop", image, where)
    if made.returncode or mounted.returncode:
        claim(f"{name}: a loop mount can be had", False, made, mounted)
        return
    d = Daemon(name, conf(name, [port("left", QUIET)], [recording("all", "left", where, 'flush = "100ms"; rotate: { bytes = "16MiB"; };')]))

    def run_then_freeze():
        run_id = d.trigger("all")
        until("some to be written", lambda: d.find(run_id)["written_pkts"] > 1000)
        frozen = run("fsfreeze", "-f", where)
        claim(f"{name}: the file system is frozen", frozen.returncode == 0, frozen)
        d.wait_received(run_id, d.find(run_id)["received_pkts"] + 3000)
        return run_id

    try:
        # One that is given up while the daemon goes on: its writes come back when nobody waits.
        first = run_then_freeze()
        d.cli("stop", "--no-wait", first)
        d.client.ask(cmd="abandon")
        ended = d.wait_state(first, "ended")
        claim(f"{name}: a run that is abandoned ends, and counts what the disk did not take",
              ended["lost_disk_pkts"] > 0 and not imbalance(d.status()), ended)
        run("fsfreeze", "-u", where)
        second = run_then_freeze()
        claim(f"{name}: the next run writes to the disk that came back", d.find(second)["written_pkts"] > 1000)
        d.signal(signal.SIGTERM)
        d.wait_state(second, "finishing")
        got = d.cli("trigger", "all")
        claim(f"{name}: while it waits for the disk the daemon answers, and begins nothing",
              got.returncode != 0 and "stopping" in got.stderr, got)
        claim(f"{name}: one SIGTERM waits for the disk", d.process.poll() is None and d.summary() is None)
        d.signal(signal.SIGTERM)
        summary = until("the summary", d.summary)
    finally:
        thawed = run("fsfreeze", "-u", where)
    code = d.wait_exit()
    r = next(r for r in summary["runs"] if r["id"] == second)
    claim(f"{name}: the second SIGTERM abandons: lost or in RAM is counted, exit code 3",
          code == 3 and r["lost_disk_pkts"] + r.get("in_ram_pkts", 0) > 0 and not imbalance(summary), code, r, thawed,
          d.said())

    def recovered():
        # The kernel may hold on to the files of a process for a moment after it has gone.
        got = run(WIRESPOOL, "recover", "--json", where)
        return got if not any(f.endswith(".part") for f in os.listdir(where)) else None

    got = until("recover to seal what was left", recovered)
    claim(f"{name}: recover seals what was left", got.returncode == 0, got)
    claim_valid(name, where)
    run("umount", where)


# Parts: systemd


class Notified:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE_S)
        self.seen = []

    def wait(self, pattern):
        """Reads on until a message has a line that matches."""
        end = time.monotonic() + PATIENCE_S
        while True:
            if time.monotonic() > end:
                raise TimeoutError(f"no message {pattern}, but {self.seen}")
            message = self.socket.recv(65536).decode()
            self.seen.append(message)
            for line in message.splitlines():
                if re.fullmatch(pattern, line):
                    return message


def part_notify():
    name = "notify"
    n = Notified(f"{WORK}/notify-systemd.sock")
    env = {"NOTIFY_SOCKET": f"{WORK}/notify-systemd.sock", "WATCHDOG_USEC": "4000000"}
    d = Daemon(name, conf(name, [port("left", QUIET)], [recording("all", "left", "null:", 'when = "always";')]),
               env=env, wait=False)
    n.wait("READY=1")
    d.client = Client(d.socket)
    claim(f"{name}: READY=1 comes when the ports are up", d.client.ask(cmd="status")["ports"][0]["link_up"])
    n.wait("WATCHDOG=1")
    n.wait("WATCHDOG=1")
    claim(f"{name}: WATCHDOG=1 comes again and again", True)
    n.wait("STATUS=.*runs live.*")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    d.signal(signal.SIGHUP)
    message = n.wait("RELOADING=1")
    at = re.search(r"(?m)^MONOTONIC_USEC=(\d+)$", message)
    claim(f"{name}: RELOADING=1 comes with MONOTONIC_USEC of now",
          at and before <= int(at[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, message)
    n.wait("READY=1")
    claim(f"{name}: READY=1 comes again after the reload", True)
    d.write("broken")
    d.signal(signal.SIGHUP)
    n.wait("RELOADING=1")
    n.wait("READY=1")
    claim(f"{name}: also when the new settings are broken", True)
    d.signal(signal.SIGTERM)
    n.wait("STOPPING=1")
    claim(f"{name}: STOPPING=1 comes at the end", d.wait_exit() == 0, d.said())


def part_idle():
    """Reported, not judged: it depends on the machine."""
    name = "idle"
    d = Daemon(name, conf(name, [port("left", "gen:rate=200M"), port("right", "gen:rate=200M")],
                          [recording("all", "left right", "null:")]))

    def ticks():
        with open(f"/proc/{d.process.pid}/stat") as f:
            return [int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13]]

    before = ticks()
    time.sleep(10)
    used = [(b - a) / os.sysconf("SC_CLK_TCK") for a, b in zip(before, ticks())]
    print(f"note idle: two ports, no run live: {used[0]:.2f} s user, {used[1]:.2f} s system in 10 s", flush=True)
    d.end()


PARTS = {
    # Those of one line side by side; lines one after the other.
    "windows": (part_autumn, part_later, part_spring),
    "control": (part_control, part_settings, part_stuck),
    "ends": (part_crash, part_notify, part_idle),
    "overload": (part_lossy,),
}


def guarded(part):
    try:
        part()
    except Exception as e:  # the other parts go on
        claim(f"{part.__name__} comes to its end", False, repr(e), e.__traceback__ and tail(e))


def tail(e):
    import traceback

    return "".join(traceback.format_tb(e.__traceback__)[-3:])


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
