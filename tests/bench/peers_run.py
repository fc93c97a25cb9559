"""One recording for tests/bench/peers: a veth pair, a recorder on one end, the sender on the other,
what the recorder's processes took of the CPUs, and what is in its files."""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import struct
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
READY_S, END_S = 30, 10  # until a recorder records; until one that was told to end has ended
SETTLE_S = 0.3  # between a recorder's word that it records and the first packet
QUIET_S = 1.2  # files that do not grow for so long: what was taken in has been written
LOOK_S = 0.02
IDLE_LOOK_S, IDLE_WAIT_S = 0.4, 8
BUSY_CPUS = 0.15  # of something else: more of it disturbs
SAID_CHARS = 1000
CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3) of a process: ~pid << 3 | this
BLOCK_BYTES = 1 << 20


class Trouble(Exception):
    """Why a peer cannot run, in words for its row."""


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- the frames ------------------------------------------------------------------------------------


def internet_checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def udp_frame(number, size):
    """A whole frame of UDP; size counts the FCS, which is not there."""
    length = size - 4 - 14 - 20
    source, target = struct.pack("!BBH", 10, 0, number % 509), bytes((10, 1, 0, 2))
    udp = struct.pack("!HHHHI", 1024 + number % 4096, 9, length, 0, number).ljust(length, b"w")
    pseudo = source + target + struct.pack("!HH", 17, length)
    udp = udp[:6] + struct.pack("!H", internet_checksum(pseudo + udp)) + udp[8:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, number & 0xFFFF, 0, 64, 17, 0)
    check = internet_checksum(ip + source + target)
    ip = ip[:10] + struct.pack("!H", check) + source + target
    return bytes.fromhex("0200000000020200000000010800") + ip + udp


def frame_sizes(text):
    """'64', '64-1518' (each as often as the others) or 'IMIX' (64:594:1518 in 7:4:1)."""
    if text.upper() == "IMIX":
        return [64] * 7 + [594] * 4 + [1518]
    low, _, high = text.partition("-")
    sizes = range(int(low), int(high or low) + 1)
    if not sizes or sizes[0] < 64 or sizes[-1] > 1518:
        raise ValueError(f"'{text}': sizes are 64..1518, or IMIX")
    return sizes


def make_frames(path, text, count=8192):
    sizes, chance = frame_sizes(text), random.Random(1)
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for number in range(count):
            frame = udp_frame(number, chance.choice(sizes))
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


# --- the wire --------------------------------------------------------------------------------------


class Wire:
    """Two network namespaces and a veth pair, without any packet of the kernel's own."""

    def __init__(self):
        self.left, self.right = f"peers{os.getpid()}l", f"peers{os.getpid()}r"

    def __enter__(self):
        for name in (self.left, self.right):
            output_of("ip", "netns", "add", name)
            for scope in ("all", "default"):
                output_of("ip", "netns", "exec", name, "sysctl", "-qw",
                          f"net.ipv6.conf.{scope}.disable_ipv6=1")
        return self

    def __exit__(self, *_):
        for name in (self.left, self.right):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def renew(self):
        """A new pair for each recording: nothing of the last one is left on it."""
        subprocess.run(["ip", "-n", self.left, "link", "del", "va"], check=False,
                       stderr=subprocess.DEVNULL)
        output_of("ip", "link", "add", "va", "netns", self.left, "type", "veth",
                  "peer", "name", "vb", "netns", self.right)
        for name, end in ((self.left, "va"), (self.right, "vb")):
            output_of("ip", "-n", name, "link", "set", end, "arp", "off", "up")

    def dropped(self):
        """What the kernel dropped between the two ends, before any recorder could take it."""
        link = json.loads(output_of("ip", "-n", self.left, "-s", "-j", "link", "show", "va"))
        return link[0]["stats64"]["tx"]["dropped"]


# --- processes -------------------------------------------------------------------------------------


def children_of(pid):
    pids = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += [int(word) for word in path.read_text().split()]
    return pids


def tree_cpu(pid):
    """CPU seconds of a process and of its children, threads that have ended among them."""
    with contextlib.suppress(OSError):
        own = time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
        return own + sum(tree_cpu(child) for child in children_of(pid))
    return 0.0


def machine_cpu():
    """CPU seconds of the whole machine so far: (all but idle, softirq)."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(word) for word in f.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = ticks
    hz = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / hz, softirq / hz


class Process:
    """One program of a recorder."""

    def __init__(self, argv, log_path, netns, cpus, env):
        self.log_path = log_path
        self.name = os.path.basename(argv[0])
        self.ended_by_force = False
        with open(log_path, "wb") as log:
            # Its input stays open and empty: dpdk-testpmd ends at the end of it.
            self.popen = subprocess.Popen(
                ["ip", "netns", "exec", netns, "taskset", "-c", cpus, *argv],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C", **env})
        self.pid = self.popen.pid

    def said(self):
        return pathlib.Path(self.log_path).read_text(errors="replace").replace("\r", "\n")

    def last_words(self):
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        # stenotype says why, and then where in its code.
        lines = [line for line in lines if not re.match(r"ABORT|\S+\(\S*\+0x", line)] or lines
        return lines[-1][:160] if lines else "it said nothing"

    def running(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait_ready(self, pattern, netns):
        """Until it says so; one that says nothing, until it has a packet socket, and a moment more."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if not self.running():
                raise Trouble(f"{self.name} ended: {self.last_words()}")
            if pattern and re.search(pattern, self.said(), re.MULTILINE):
                return
            if not pattern and output_of(
                    "ip", "netns", "exec", netns, "cat", "/proc/net/packet").count("\n") > 1:
                time.sleep(SETTLE_S)
                return
            time.sleep(LOOK_S)
        raise Trouble(f"{self.name} was not ready after {READY_S} s: {self.last_words()}")

    def end(self, how=signal.SIGINT):
        """Ends it; returns the CPU seconds of its life and of the children it waited for."""
        if self.running():
            os.kill(self.pid, how)
        until = time.monotonic() + END_S
        while self.running():
            if time.monotonic() > until:
                self.ended_by_force = True
                for pid in (*children_of(self.pid), self.pid):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                until += END_S
            time.sleep(LOOK_S)
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        self.popen.stdin.close()
        return usage.ru_utime + usage.ru_stime


# --- what is in the files ---------------------------------------------------------------------------


def files_in(directory):
    return sorted(path for path in pathlib.Path(directory).rglob("*") if path.is_file())


def bytes_in(directory):
    total = 0
    for path in files_in(directory):
        with contextlib.suppress(FileNotFoundError):  # renamed just now
            total += path.stat().st_size
    return total


def count_capinfos(directory):
    """Packets, by Wireshark's reader. A file cut short counts up to there."""
    total = 0
    for path in files_in(directory):
        said = subprocess.run(["capinfos", "-TMrc", path], capture_output=True, text=True, check=False)
        words = said.stdout.strip().split("\t")
        if not words[-1].isdigit():
            raise Trouble(f"capinfos: {said.stderr.strip()[:160]}")
        total += int(words[-1])
    return total


def count_blocks(directory):
    """Packets in stenotype's files: the kernel's blocks as they were, TPACKET_V3, each walked."""
    total = 0
    for path in files_in(pathlib.Path(directory) / "PKT0"):
        with open(path, "rb") as f:
            while len(block := f.read(BLOCK_BYTES)) == BLOCK_BYTES:
                packets, at = struct.unpack_from("<II", block, 12)
                for _ in range(packets):
                    step, _, _, captured, length = struct.unpack_from("<5I", block, at)
                    if captured != length or at + captured > BLOCK_BYTES:
                        raise Trouble(f"{path.name}: a packet of {captured} bytes of {length}")
                    total += 1
                    at += step
    return total


# --- one recording ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Bench:
    """What all recordings have in common."""

    wire: Wire
    sender: str
    frames: str
    work: str
    packets: int
    sender_cpu: str
    recorder_cpus: str


@dataclasses.dataclass
class Run:
    """What came of one; times in CPU seconds."""

    peer: str
    round: int
    offered_pkts: int = 0
    offered_bytes: int = 0
    send_s: float = 0.0
    written_pkts: int = 0
    file_bytes: int = 0
    veth_dropped_pkts: int = 0
    start_cpu_s: float = 0.0
    cpu_s: float = 0.0
    end_cpu_s: float = 0.0
    softirq_s: float = 0.0
    others_s: float = 0.0
    busy_before: float = 0.0  # CPUs
    killed: str = ""
    said: str = ""  # the end of what the recorder said, to set beside what is in its files
    why_not: str = ""


def send(bench, rate):
    """(packets, bytes, seconds, CPU seconds) of the sender."""
    pace = ["-r", f"{rate:.0f}"] if rate else []
    words = output_of("ip", "netns", "exec", bench.wire.left, "taskset", "-c", bench.sender_cpu,
                      bench.sender, *pace, "va", bench.frames, str(bench.packets)).split()
    return int(words[0]), int(words[1]), float(words[2]), float(words[3])


def cpu_of(processes):
    return sum(tree_cpu(process.pid) for process in processes)


def wait_quiet(processes, directory):
    """Until the files grow no more; the CPU seconds when they last did, and at the end."""
    size, busy = -1, cpu_of(processes)
    since = time.monotonic()
    while time.monotonic() < since + QUIET_S:
        now = bytes_in(directory)
        if now != size:
            size, since, busy = now, time.monotonic(), cpu_of(processes)
        time.sleep(LOOK_S)
    return busy, cpu_of(processes)


def start(peer, bench, directory, processes):
    for number, program in enumerate(peer.programs):
        cpus = bench.sender_cpu if program.beside_sender else bench.recorder_cpus
        argv = shlex.split(program.command.format(
            dir=directory, cpus=cpus, work=bench.work, iface="vb"))
        argv[0] = peer.paths.get(argv[0], argv[0])
        process = Process(argv, f"{bench.work}/log{number}", bench.wire.right, cpus, program.env)
        processes.append(process)
        process.wait_ready(program.ready, bench.wire.right)
    time.sleep(SETTLE_S)


def measure(run, bench, rate, directory, processes):
    run.start_cpu_s = cpu_of(processes)
    all_begin, softirq_begin = machine_cpu()
    run.offered_pkts, run.offered_bytes, run.send_s, sender_cpu = send(bench, rate)
    busy, quiet = wait_quiet(processes, directory)
    for process in processes:
        if not process.running():
            raise Trouble(f"{process.name} ended early: {process.last_words()}")
    # The last first: a primary process of DPDK must outlive its secondary.
    end = sum([process.end() for process in reversed(processes)])
    os.sync()
    all_end, softirq_end = machine_cpu()
    run.end_cpu_s = end - quiet
    run.cpu_s = busy - run.start_cpu_s + run.end_cpu_s
    run.softirq_s = softirq_end - softirq_begin
    run.others_s = all_end - all_begin - (end - run.start_cpu_s) - sender_cpu
    run.said = "\n".join(process.said()[-SAID_CHARS:] for process in processes)
    run.killed = ", ".join(process.name for process in processes if process.ended_by_force)


def wait_idle():
    """Waits a while for the rest of the machine; returns how many CPUs are busy all the same."""
    until = time.monotonic() + IDLE_WAIT_S
    while True:
        before = machine_cpu()[0]
        time.sleep(IDLE_LOOK_S)
        busy = (machine_cpu()[0] - before) / IDLE_LOOK_S
        if busy < BUSY_CPUS or time.monotonic() > until:
            return busy


def record(peer, bench, rate, number):
    """One recording by a peer; what hinders it is in why_not."""
    run = Run(peer=peer.name, round=number)
    directory = pathlib.Path(bench.work) / "out"
    shutil.rmtree(directory, ignore_errors=True)
    for part in ("", *peer.directories):
        (directory / part).mkdir()
        (directory / part).chmod(0o777)
    bench.wire.renew()
    os.sync()
    run.busy_before = wait_idle()
    processes = []
    try:
        start(peer, bench, directory, processes)
        measure(run, bench, rate, directory, processes)
        run.veth_dropped_pkts = bench.wire.dropped()
        run.file_bytes = bytes_in(directory)
        run.written_pkts = peer.count(directory)
    except Trouble as trouble:
        run.why_not = str(trouble)
    finally:
        for process in reversed(processes):
            if process.popen.returncode is None:
                process.end()
        shutil.rmtree(directory, ignore_errors=True)
    return run
