"""The prefilter of AF_XDP ports; xdp.sh starts this, see there.

Two network namespaces: "near" is recorded, "far" sends. UDP datagrams carry their number, so that what a
recording has can be held against what was sent. Behind all of it a TCP session, both ways, must not notice
anything. No length of time is asserted: what a flood costs is compared with the same without a prefilter.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from daemon import (PATIENCE_S, WIRESPOOL, WORK, Daemon, claim, claim_valid, conf, failed, folder, guarded, imbalance,
                    ns_of, recording, run, until)

NEAR, FAR = "xda", "xdb"
NEAR_ADDRESS, FAR_ADDRESS = "10.77.0.1", "10.77.0.2"
NEAR_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
KEPT, OTHER, FLOOD, ECHO = 5000, 6000, 9999, 7
FLOOD_PKTS = 1 << 20
PINS = "/sys/fs/bpf/wirespool"
PIN_NAMES = ["counters", "nets", "tables", "xsks_map"]
UDP_SEGMENT = 103  # linux/udp.h
SEGMENTS = 64

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

RULES = f"keep udp any any any {KEPT} either way\ndrop udp any any any {FLOOD}\n"


# The network


def this_namespace():
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


@contextlib.contextmanager
def in_far():
    """This thread is on the far side; sockets stay where they were made."""
    if libc.setns(far_fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    try:
        yield
    finally:
        libc.setns(near_fd, CLONE_NEWNET)


def ip(*words):
    subprocess.run(("ip", *words), check=True)


def set_up_end(name, address, mac, peer_address, peer_mac):
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as f:
        f.write("1")  # no packet of the kernel's own
    ip("link", "set", "lo", "up")
    ip("link", "set", name, "address", mac)
    ip("addr", "add", address + "/24", "dev", name)
    ip("link", "set", name, "up")
    ip("neigh", "add", peer_address, "lladdr", peer_mac, "dev", name, "nud", "permanent")


def make_network():
    """Leaves this thread in near, and the ends of both in globals."""
    global near_fd, far_fd
    near_fd = this_namespace()
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    far_fd = this_namespace()
    ip("link", "add", FAR, "type", "veth", "peer", "name", NEAR)
    ip("link", "set", NEAR, "netns", f"/proc/{os.getpid()}/fd/{near_fd}")
    set_up_end(FAR, FAR_ADDRESS, FAR_MAC, NEAR_ADDRESS, NEAR_MAC)
    libc.setns(near_fd, CLONE_NEWNET)
    set_up_end(NEAR, NEAR_ADDRESS, NEAR_MAC, FAR_ADDRESS, FAR_MAC)


def arrived_pkts():
    """What has come in at near so far, of all kinds."""
    with open("/proc/thread-self/net/dev") as f:
        return next(int(line.split()[2]) for line in f if line.split()[0] == NEAR + ":")


# Traffic


class Session:
    """TCP: lines of growing length, echoed from near."""

    def __init__(self):
        listener = socket.create_server((NEAR_ADDRESS, ECHO))
        with in_far():
            self.far = socket.socket()
        self.far.settimeout(PATIENCE_S)
        self.far.connect((NEAR_ADDRESS, ECHO))
        self.near, _ = listener.accept()
        listener.close()
        self.rounds = 0
        self.wrong = None
        self.going = threading.Event()
        self.going.set()
        self.resting = threading.Event()
        self.end = False
        threading.Thread(target=self.echo, daemon=True).start()
        self.thread = threading.Thread(target=self.speak, daemon=True)
        self.thread.start()

    def echo(self):
        while data := self.near.recv(65536):
            self.near.sendall(data)

    def speak(self):
        try:
            while not self.end:
                line = (b"%d " % self.rounds * 2000)[: 1 + self.rounds * 37 % 6000]
                self.far.sendall(line)
                got = b""
                while len(got) < len(line):
                    more = self.far.recv(65536)
                    if not more:
                        raise EOFError("closed")
                    got += more
                if got != line:
                    raise ValueError("not what was sent")
                self.rounds += 1
                if not self.going.is_set():
                    self.resting.set()
                    self.going.wait()
                time.sleep(0.001)
        except (OSError, EOFError, ValueError) as e:
            self.wrong = repr(e)

    @contextlib.contextmanager
    def silent(self):
        """Not a packet of it crosses meanwhile, but for an acknowledgement on the way."""
        self.resting.clear()
        self.going.clear()
        self.resting.wait(PATIENCE_S)
        time.sleep(0.2)
        yield
        self.going.set()

    def lives(self):
        """Data goes both ways from now on, too."""
        rounds = self.rounds
        try:
            until("the TCP session", lambda: self.wrong or self.rounds >= rounds + 3)
        except TimeoutError as e:
            return claim("the TCP session goes on", False, e)
        return self.wrong is None

    def close(self):
        self.end = True
        self.thread.join()
        self.far.close()


class Sender:
    """Numbered datagrams to a port of near. Counts what it has sent."""

    def __init__(self, port):
        self.to = (NEAR_ADDRESS, port)
        with in_far():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent = 0

    def send(self, count):
        for _ in range(count):
            self.socket.sendto(b"%16d" % self.sent, self.to)
            self.sent += 1
            if self.sent % 50 == 0:
                time.sleep(0.002)

    def flood(self, count):
        """The kernel makes packets of each batch. A veth holds 256 that its other end has not looked at."""
        self.socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 16)
        batch = b"%16d" % 0 * SEGMENTS
        for _ in range(count // SEGMENTS // 2):
            wanted = arrived_pkts() + 2 * SEGMENTS
            self.socket.sendto(batch, self.to)
            self.socket.sendto(batch, self.to)
            self.sent += 2 * SEGMENTS
            for _ in range(10000):
                if arrived_pkts() >= wanted:
                    break

    @contextlib.contextmanager
    def on(self):
        """In the background."""
        stop = threading.Event()

        def send():
            while not stop.wait(0.002):
                self.send(10)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        yield
        stop.set()
        thread.join()


class Receiver:
    """A program of near that wants the packets of a port."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((NEAR_ADDRESS, port))

    def take(self):
        """The numbers that have come."""
        numbers = []
        while select.select([self.socket], [], [], 0.3)[0]:
            numbers.append(int(self.socket.recv(100)))
        return numbers


# The recorder


def begin(name, mode, recordings):
    """A daemon whose rules are there."""
    port = f'{{ name = "x.0"; device = "af_xdp:{NEAR}"; prefilter = "{mode}"; }}'
    d = Daemon(name, conf(name, [port], recordings))
    until("the rules to be built", lambda: not any(r["filter"]["pending"] for r in d.status()["recordings"]))
    return d


def rules_file(name, text):
    path = f"{WORK}/{name}.rules"
    with open(path, "w") as f:
        f.write(text)
    return path


def ruled(name, rec, text):
    """A recording with rules, and a folder of its own."""
    more = f'when = "trigger"; rules_file = "{rules_file(name + rec, text)}";'
    return recording(rec, "x.0", folder(f"{name}-{rec}"), more)


def port_of(status):
    return status["ports"][0]


def rules_now(d):
    """What the port's device goes by."""
    return [r["rule"] for r in port_of(d.status()).get("prefilter_rules", ["all"])]


def comes_true(what, condition):
    try:
        until(what, condition)
    except TimeoutError:
        return False
    return True


def prefilter_of(port):
    return tuple(port.get(f"prefilter_{what}_pkts", 0) for what in ("redirected", "passed", "dropped"))


def settled(d):
    """The port's ledger, once nothing is under way to the recorder. The daemon asks the device once a second."""
    last = None
    for _ in range(PATIENCE_S):
        now = port_of(d.status())
        counts = now["offered_pkts"], now["received_pkts"]
        if counts == last:
            return now
        last = counts
        time.sleep(1.5)
    raise TimeoutError("counters do not come to rest")


def lcore_cost(d):
    """What the port's rx lcore has cost so far: ns spent with packets, ticks of CPU time."""
    busy_ns = sum(lcore["busy_ns"] for lcore in d.status()["lcores"])
    for task in os.listdir(f"/proc/{d.process.pid}/task"):
        with open(f"/proc/{d.process.pid}/task/{task}/stat") as f:
            name, _, fields = f.read().partition("(")[2].rpartition(")")
        if name.startswith("rx-"):
            return busy_ns, sum(int(x) for x in fields.split()[11:13])
    raise RuntimeError("there is no rx lcore")


def packets_in(paths):
    """(time, port, number) of each, in the order of the files."""
    packets = []
    for path in sorted(paths):
        got = run("tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "udp.dstport",
                  "-e", "udp.payload")
        if got.returncode != 0:
            raise RuntimeError(got.stderr)
        for line in got.stdout.splitlines():
            at, port, payload = line.split("\t")
            seconds, _, fraction = at.partition(".")
            packets.append((int(seconds) * 10**9 + int((fraction + "000000000")[:9]), int(port or 0),
                            int(bytes.fromhex(payload))))
    return packets


def numbers_in(packets, port):
    return [number for _, p, number in packets if p == port]


def stop(d, run_id):
    """Its account, when it has ended."""
    d.cli("stop", run_id)
    return d.wait_state(run_id, "ended")


def ends(d):
    """SIGTERM, and what holds at every end. Returns the summary."""
    summary = d.end()
    claim(f"{d.name}: no pin is left", not os.path.exists(PINS))
    return summary


def claim_ledger(name, d):
    settled(d)
    status = d.status()
    port = port_of(status)
    redirected, _, _ = prefilter_of(port)
    claim(f"{name}: offered is received and nic_*, and what the prefilter has redirected",
          not imbalance(status) and redirected == port["offered_pkts"], port, status["runs"])


# Parts


def part_flood():
    """What a flood costs and where it goes: dropped, left to the stack, or filtered here."""
    busy_ns, ticks = {}, {}
    for mode in ("off", "stack", "drop"):
        name = f"flood-{mode}"
        kept, flood = Sender(KEPT), Sender(FLOOD)
        session = Session() if mode != "off" else None
        d = begin(name, mode, [ruled(name, "dns", RULES)])
        if session:
            claim(f"{name}: a TCP session lives on while nothing is live", session.lives(), session.wrong)
        with session.silent() if session else contextlib.nullcontext():
            run_id = d.trigger("dns")
            arrived = arrived_pkts()
        busy_ns[mode] = ticks[mode] = 0
        for _ in range(2):
            before = lcore_cost(d)
            flood.flood(FLOOD_PKTS // 2)
            settled(d)
            after = lcore_cost(d)
            busy_ns[mode] += after[0] - before[0]
            ticks[mode] += after[1] - before[1]
            kept.send(1000)
        with session.silent() if session else contextlib.nullcontext():
            port = settled(d)
            arrived = arrived_pkts() - arrived
        if session:
            claim(f"{name}: the TCP session lived on", session.lives(), session.wrong)
        claim_ledger(name, d)
        ended = stop(d, run_id)
        redirected, passed, dropped = prefilter_of(port)
        claim(f"{name}: all that came was redirected, passed or dropped", redirected + passed + dropped == arrived,
              port, arrived)
        packets = packets_in(files_in(f"{name}-dns"))
        claim(f"{name}: UDP to {KEPT} is recorded to the packet, and nothing else",
              [n for _, _, n in packets] == list(range(kept.sent)) and {p for _, p, _ in packets} == {KEPT},
              len(packets), kept.sent, ended)
        by_rule = [r["pkts"] for r in port.get("prefilter_rules", [])]
        if mode == "off":
            claim(f"{name}: without a prefilter all is received, and filtered",
                  "prefilter_rules" not in port and redirected == arrived and
                  ended["received_pkts"] == port["received_pkts"] and
                  ended["filtered_pkts"] == port["received_pkts"] - kept.sent, port, ended)
        else:
            claim(f"{name}: the run has received what its rules keep, and no more",
                  ended["received_pkts"] == kept.sent and redirected == kept.sent, port, ended)
            claim(f"{name}: each rule has its count",
                  by_rule == [kept.sent, flood.sent], port["prefilter_rules"], flood.sent)
        if mode == "drop":
            claim(f"{name}: the flood is dropped in the kernel, to the packet", dropped == flood.sent, port, flood.sent)
        if mode == "stack":
            claim(f"{name}: the flood goes to the machine's stack", dropped == 0 and passed >= flood.sent, port)
        ends(d)
        if session:
            session.close()
    print(f"note flood: the rx lcore: ns with packets {busy_ns}, ticks of CPU time {ticks}", flush=True)
    claim("flood-drop: the rx lcore spends less than a third of what the flood costs without a prefilter",
          busy_ns["drop"] < busy_ns["off"] / 3, busy_ns, ticks)


def files_in(name):
    return [os.path.join(folder(name), f) for f in os.listdir(folder(name)) if f.endswith(".pcapng")]


def part_live():
    """Rules change while packets of all kinds flow."""
    name = "live"
    texts = {KEPT: f"keep udp any any any {KEPT}\ndrop udp any any any {OTHER}\n",
             OTHER: f"keep udp any any any {OTHER}\ndrop udp any any any {KEPT}\n"}
    files = {port: rules_file(f"{name}{port}", text) for port, text in texts.items()}
    senders = {port: Sender(port) for port in texts}
    session = Session()
    d = begin(name, "drop", [ruled(name, "dns", texts[KEPT])])
    with session.silent():
        run_id = d.trigger("dns")
        arrived = arrived_pkts()
    spans = [(0, KEPT)]
    with senders[KEPT].on(), senders[OTHER].on():
        d.wait_received(run_id, 200)
        for i in range(8):
            port = (OTHER, KEPT)[i % 2]
            got = d.cli("set", "--json", "dns", f"rules={files[port]}")
            spans.append((ns_of(json.loads(got.stdout)["since"]), port))
            until("the new rules' time", lambda: ns_of(d.status()["now"]) > spans[-1][0])
            d.wait_received(run_id, d.find(run_id)["received_pkts"] + 200)
    claim(f"{name}: after a change the prefilter has the new rules alone",
          comes_true("the rules before to go", lambda: rules_now(d) == texts[port].splitlines()), rules_now(d))
    with session.silent():
        port = settled(d)
        arrived = arrived_pkts() - arrived
    claim(f"{name}: the TCP session lived on", session.lives(), session.wrong)
    claim_ledger(name, d)
    ended = stop(d, run_id)
    ends(d)
    session.close()
    sent = sum(s.sent for s in senders.values())
    redirected, passed, dropped = prefilter_of(port)
    claim(f"{name}: over all lists of rules, UDP was redirected or dropped, and all else passed",
          redirected + dropped == sent and passed == arrived - sent, port, sent, arrived)
    packets = packets_in(files_in(f"{name}-dns"))
    claim(f"{name}: what was redirected was received; written are those of the files",
          redirected == ended["received_pkts"] and len(packets) == ended["written_pkts"], port, ended, len(packets))
    claim_spans(name, spans, packets)
    claim_valid(name, folder(f"{name}-dns"))


def claim_spans(name, spans, packets):
    """Of each span the packets of its rules are there, without a hole, and no others."""
    wrong, holes = [], []
    for i, (start_ns, port) in enumerate(spans):
        end_ns = spans[i + 1][0] if i + 1 < len(spans) else 2**63
        here = [p for p in packets if start_ns <= p[0] < end_ns]
        wrong += [p for p in here if p[1] != port]
        numbers = numbers_in(here, port)
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            holes.append((i, port, numbers[:1], len(numbers)))
    claim(f"{name}: each recorded packet is one that the rules of its time keep", not wrong, spans, wrong[:5])
    claim(f"{name}: and each of these is there, from the first to the last", not holes, holes)


def part_several():
    """Recordings side by side: each gets what it wants, and what nobody wants stays with the machine."""
    name = "several"
    d = begin(name, "stack", [
        ruled(name, "one", f"keep udp any any any {KEPT}\ndrop udp any any any {OTHER}\n"),
        ruled(name, "two", f"drop udp any any any {KEPT}\nkeep udp any any any {OTHER}\n"),
        recording("all", "x.0", folder(f"{name}-all")),
    ])
    senders = {port: Sender(port) for port in (KEPT, OTHER, FLOOD)}
    receivers = {port: Receiver(port) for port in senders}

    def send_all():
        """What near's own programs have got of it."""
        first = {port: s.sent for port, s in senders.items()}
        for s in senders.values():
            s.send(100)
        return {port: len([n for n in receivers[port].take() if n >= first[port]]) for port in senders}

    claim(f"{name}: while nothing is live, nothing is taken", send_all() == {KEPT: 100, OTHER: 100, FLOOD: 100}
          and port_of(d.status())["prefilter_rules"] == [], d.status()["ports"])
    one = d.trigger("one")
    got = send_all()
    claim(f"{name}: one recording gets its own, and the machine the others", got == {KEPT: 0, OTHER: 100, FLOOD: 100},
          got, d.status()["ports"])
    two = d.trigger("two")
    got = send_all()
    claim(f"{name}: two recordings both get theirs", got == {KEPT: 0, OTHER: 0, FLOOD: 100}, got, d.status()["ports"])
    everything = d.trigger("all")
    got = send_all()
    claim(f"{name}: one without rules gets all", got == {KEPT: 0, OTHER: 0, FLOOD: 0} and
          "prefilter_rules" not in port_of(d.status()), got, d.status()["ports"])
    stop(d, everything)
    got = send_all()
    claim(f"{name}: when it stops, less comes again", got == {KEPT: 0, OTHER: 0, FLOOD: 100}, got, d.status()["ports"])
    stop(d, two)
    got = send_all()
    claim(f"{name}: and again", got == {KEPT: 0, OTHER: 100, FLOOD: 100}, got, d.status()["ports"])
    claim_ledger(name, d)
    stop(d, one)
    claim(f"{name}: at last nothing is taken any more", send_all() == {KEPT: 100, OTHER: 100, FLOOD: 100},
          d.status()["ports"])
    ends(d)
    files = {rec: packets_in(files_in(f"{name}-{rec}")) for rec in ("one", "two", "all")}
    claim(f"{name}: files of the first: each of its packets since its start",
          numbers_in(files["one"], KEPT) == list(range(100, 600)) and len(files["one"]) == 500, len(files["one"]))
    claim(f"{name}: files of the second",
          numbers_in(files["two"], OTHER) == list(range(200, 500)) and len(files["two"]) == 300, len(files["two"]))
    claim(f"{name}: files of the one without rules", len(files["all"]) == 300 and
          all(numbers_in(files["all"], port) == list(range(300, 400)) for port in senders), len(files["all"]))


def part_record():
    """`wirespool record` starts a daemon of its own, which does the same."""
    name = "record"
    session, kept, flood, receiver = Session(), Sender(KEPT), Sender(FLOOD), Receiver(FLOOD)
    stripe, log = folder(name), f"{WORK}/{name}.err"
    with open(log, "w") as err:
        recorder = subprocess.Popen(
            [WIRESPOOL, "record", "-v", "--json", "--rules", rules_file(name, RULES), "-o", stripe, f"af_xdp:{NEAR}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)

    def begun():
        if recorder.poll() is not None:
            raise RuntimeError(open(log).read())
        return "begins" in open(log).read()

    until("the run to begin", begun)
    kept.send(300)
    flood.send(200)
    came = receiver.take()
    claim(f"{name}: the TCP session lives on", session.lives(), session.wrong)
    claim(f"{name}: what no rule keeps comes to the machine's programs", came == list(range(200)), len(came))
    recorder.send_signal(signal.SIGINT)
    out, _ = recorder.communicate(timeout=PATIENCE_S)
    summary = json.loads(out)
    port = port_of(summary)
    redirected, passed, dropped = prefilter_of(port)
    claim(f"{name}: its summary says what the prefilter did",
          recorder.returncode == 0 and redirected == 300 and passed >= 200 and dropped == 0 and not imbalance(summary),
          recorder.returncode, summary, open(log).read())
    numbers = numbers_in(packets_in(files_in(name)), KEPT)
    claim(f"{name}: its files hold what its rules keep", numbers == list(range(300)), len(numbers))
    claim(f"{name}: no pin is left", not os.path.exists(PINS))
    session.close()


def part_killed():
    """Pins while it runs; a recorder that was killed takes nothing any more, and the next one starts."""
    name = "killed"
    session, kept, receiver = Session(), Sender(KEPT), Receiver(KEPT)
    recordings = [ruled(name, "dns", f"keep udp any any any {KEPT}\ndrop tcp any any any 22\n")]
    d = begin(name, "drop", recordings)
    run_id = d.trigger("dns")
    kept.send(100)
    d.wait_received(run_id, 100)
    pins = sorted(os.listdir(f"{PINS}/x_0"))
    claim(f"{name}: while it runs, its maps are pinned", pins == PIN_NAMES, pins)
    d.signal(signal.SIGKILL)
    d.wait_exit()
    receiver.take()
    kept.send(100)
    came = receiver.take()
    claim(f"{name}: killed, it takes nothing any more", came == list(range(100, 200)) and session.lives(), len(came),
          session.wrong)
    d = begin(name, "drop", recordings)
    run_id = d.trigger("dns")
    port = port_of(d.status())
    claim(f"{name}: the next one starts, with a prefilter",
          "prefilter_rules" in port and not any("prefilter" in w for w in port["warnings"]), port)
    claim(f"{name}: and pins its own maps", sorted(os.listdir(f"{PINS}/x_0")) == PIN_NAMES)
    kept.send(100)
    d.wait_received(run_id, 100)
    claim(f"{name}: the TCP session lives on", session.lives(), session.wrong)
    summary = ends(d)
    claim(f"{name}: the summary says what the prefilter did", prefilter_of(port_of(summary))[0] == 100, summary)
    session.close()


def part_second():
    """A second recorder on the interface is refused, and the first one notices nothing."""
    name = "second"
    session, kept = Session(), Sender(KEPT)
    d = begin(name, "stack", [ruled(name, "dns", f"keep udp any any any {KEPT}\n")])
    run_id = d.trigger("dns")
    second = run(WIRESPOOL, "record", "--for", "1s", "-o", folder(f"{name}-2"), f"af_xdp:{NEAR}")
    claim(f"{name}: a second recorder says why it has not the interface",
          second.returncode == 1 and "a recorder has the interface already" in second.stderr, second.stderr)
    kept.send(100)
    settled(d)
    received = d.find(run_id)["received_pkts"]
    claim(f"{name}: the first one records on", received == kept.sent, received, kept.sent)
    claim(f"{name}: the TCP session lived on", session.lives(), session.wrong)
    ends(d)
    session.close()


PARTS = {
    "flood": part_flood,
    "live": part_live,
    "several": part_several,
    "record": part_record,
    "killed": part_killed,
    "second": part_second,
}


def main():
    subprocess.run(("mount", "-t", "bpf", "bpf", "/sys/fs/bpf"), check=True)
    make_network()
    for what in sys.argv[1:] or PARTS:
        guarded(PARTS[what])
    print(f"{len(failed)} claims failed" if failed else "all claims hold", flush=True)
    sys.exit(1 if failed else 0)


main()
