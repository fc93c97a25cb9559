"""What line_rate and curves measure with: the recorder in a run, the machine it runs on, and its noise.

A run is a dictionary of plain numbers and texts, so that it can be written as JSON as it is.
"""

import contextlib
import datetime
import glob
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TREE = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
PATIENCE_S = 30  # a program that has not ended so long after it should have is stopped,
KILL_AFTER_S = 10  # and killed so long after that
SLOT_BYTES = 32  # of a packet ring
WIRE_BESIDE_STORED = 24  # preamble 8, FCS 4, gap 12: what a frame takes of the wire and no one stores


class CannotMeasure(Exception):
    """Why a case has no figure; its row says it."""


def stop_on_signals():
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that what was changed is put back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def constant(path, name):
    """Of an enum in the source: so that what is computed here follows the program."""
    with open(os.path.join(TREE, path)) as f:
        found = re.search(rf"\b{name} = (\d+)\b", f.read())
    if found is None:
        raise CannotMeasure(f"{path} has no {name} any more")
    return int(found.group(1))


def port_mbufs():
    """What port_mbufs() in capture/port.c returns for the port of `wirespool record`, by its own words."""
    path = "capture/port.c"
    with open(os.path.join(TREE, path)) as f:
        found = re.search(r"^unsigned int port_mbufs\(.*?\)\n{\n\treturn (.*?);\n}", f.read(), re.M | re.S)
    if found is None:
        raise CannotMeasure(f"port_mbufs() in {path} is no longer one expression")
    names = {
        "descriptors": constant("control/commands.c", "RECORD_DESCRIPTORS"),
        "ring_slots": constant("control/machine.c", "RING_SLOTS"),
        "BURST_PKTS": constant("capture/source.h", "BURST_PKTS"),
        "RTE_MIN": min,
        "RTE_MAX": max,
    }
    for name in set(re.findall(r"\b[A-Z_]+\b", found.group(1))) - set(names):
        names[name] = constant(path, name)
    expression = re.sub(r"\b(\d+)u\b|\(u?int\w*\)", r"\1", found.group(1))
    try:
        return int(eval(expression, {"__builtins__": {}}, names))
    except (NameError, SyntaxError, TypeError) as e:
        raise CannotMeasure(f"port_mbufs() in {path} is not understood: {e}") from e


def ring_packets(stored):
    """How many packets of these stored lengths, in turn, one packet ring holds; see include/wirespool/packet.h."""
    copied = constant("include/wirespool/packet.h", "PACKET_COPY_MAX")
    slots = [1 if n > copied else 1 + -(-n // SLOT_BYTES) for n in stored]
    return constant("control/machine.c", "RING_SLOTS") * len(stored) / sum(slots)


# The machine


def first_line(path, default="?"):
    try:
        with open(path) as f:
            return f.readline().strip()
    except OSError:
        return default


def output_of(*command):
    try:
        got = subprocess.run(command, capture_output=True, text=True, cwd=TREE, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return got.stdout.strip()


def cpu_model():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    return found.group(1) if found else platform.machine()


def commit():
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no")
    return (output_of("git", "rev-parse", "--short", "HEAD") or "?") + (" and changes" if changed else "")


def build_flags(build):
    try:
        with open(os.path.join(build, "CMakeCache.txt")) as f:
            cache = dict(re.findall(r"^(CMAKE_\w+):\w+=(.*)$", f.read(), re.M))
    except OSError:
        return "?"
    kind = cache.get("CMAKE_BUILD_TYPE", "")
    compiler = os.path.basename(cache.get("CMAKE_C_COMPILER", "?"))
    return f"{compiler} {kind} {cache.get('CMAKE_C_FLAGS_' + kind.upper(), '')}".strip()


def machine(build):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "hypervisor": output_of("systemd-detect-virt", "--vm") or "?",
        "memory_bytes": memory,
        "kernel": platform.release(),
        "dpdk": output_of("pkg-config", "--modversion", "libdpdk") or "?",
        "commit": commit(),
        "build": build_flags(build),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(sys.argv),
    }


def machine_lines(m):
    """The description as a Markdown list."""
    return "\n".join(
        (
            f"- {m['cpu']}, {m['cpus']} CPUs, {m['memory_bytes'] / 2**30:.0f} GiB, virtualisation: {m['hypervisor']}",
            f"- Linux {m['kernel']}, DPDK {m['dpdk']}, {m['build']}",
            f"- huge pages: {m['huge_pages']}",
            f"- commit {m['commit']}, {m['date']}",
            f"- `{m['command']}`",
        )
    )


def siblings(cpu):
    """The CPUs that share a core with it, itself among them."""
    text = first_line(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", str(cpu))
    parts = [part.split("-") for part in text.split(",")]
    return {c for part in parts for c in range(int(part[0]), int(part[-1]) + 1)}


def two_cpus():
    """The first two CPUs on cores of their own. The program puts its writer on the first."""
    allowed = sorted(os.sched_getaffinity(0))
    others = [c for c in allowed if c not in siblings(allowed[0])] or allowed[1:]
    if not others:
        raise SystemExit("one CPU is not enough: an rx lcore and a writer take one each")
    return [allowed[0], others[0]]


class HugePages:
    """So many free huge pages of 2 MiB while it is entered; what was there is put back."""

    SETTING = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

    def __init__(self, wanted):
        self.wanted = wanted
        self.before = None
        self.text = ""

    def free(self):
        return int(first_line(self.SETTING.replace("nr_", "free_"), "0"))

    def set(self, count):
        with open(self.SETTING, "w") as f:
            f.write(str(count))

    def __enter__(self):
        free = self.free()
        if free < self.wanted:
            try:
                before = int(first_line(self.SETTING, "0"))
                self.set(before + self.wanted - free)
                self.before = before
            except OSError as e:
                self.text = f"{free} of 2 MiB free, {self.wanted} wanted: {e.strerror}"
                return self
        free = self.free()
        short = "" if free >= self.wanted else f", {self.wanted} wanted: memory is too fragmented or too small"
        self.text = f"{free} of 2 MiB free{short}"
        return self

    def __exit__(self, *_):
        if self.before is not None:
            self.set(self.before)


class Noise:
    """What else the CPUs did in the meantime: stolen by the hypervisor, or used by other programs."""

    def __enter__(self):
        self.begun = self.read()
        self.begun_s = time.monotonic()
        return self

    def __exit__(self, *_):
        now = self.read()
        self.lasted_s = time.monotonic() - self.begun_s
        self.all_s, self.busy_s, self.steal_s = (b - a for a, b in zip(self.begun, now))

    @staticmethod
    def read():
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, idle, iowait, irq, softirq, steal = (
            int(field) / tick for field in first_line("/proc/stat").split()[1:9]
        )
        busy = user + nice + system + irq + softirq
        return busy + idle + iowait + steal, busy, steal

    def report(self, own_cpu_s):
        share = 100 / max(self.all_s, 1e-9)
        return {
            "steal_percent": round(self.steal_s * share, 2),
            "others_percent": round(max(0, self.busy_s - own_cpu_s) * share, 2),
        }


# Programs


def pinned(cpus):
    return (lambda: os.sched_setaffinity(0, cpus)) if cpus else None


def kill_with_children(process):
    """The daemon of `wirespool record` is its child; a deaf one would be waited for, for minutes."""
    children = first_line(f"/proc/{process.pid}/task/{process.pid}/children", "").split()
    for pid in (*map(int, children), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(process, timeout_s):
    """Sleeps until it ends and returns what it used, its own children included."""
    guards = (
        threading.Timer(timeout_s, process.terminate),
        threading.Timer(timeout_s + KILL_AFTER_S, kill_with_children, (process,)),
    )
    for guard in guards:
        guard.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        for guard in guards:
            guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def run_program(command, cpus, timeout_s):
    """Returns stdout, stderr, exit code and cost. Into files: a pipe would have to be read meanwhile."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with Noise() as noise:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=pinned(cpus)
            )
            usage = wait_for(process, timeout_s)
        out.seek(0)
        err.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        cost = {"cpu_s": round(cpu_s, 3), "preempted": usage.ru_nivcsw, **noise.report(cpu_s)}
        return out.read(), err.read().strip(), process.returncode, cost


def ledger_faults(summary):
    """What keeps "received = packed" from being true: losses, or an account that does not balance."""
    faults = []
    for p in summary["ports"]:
        lost = p["nic_missed_pkts"] + p["nic_no_mbuf_pkts"] + p["nic_error_pkts"]
        if p["offered_pkts"] != p["received_pkts"] + lost:
            faults.append(f"port {p['name']}: offered is not received + lost")
        if lost:
            faults.append(f"port {p['name']} lost {lost} packets")
    for r in summary["runs"]:
        lost = r["lost_ring_pkts"] + r["lost_memory_pkts"] + r["lost_disk_pkts"] + r.get("in_ram_pkts", 0)
        if r["received_pkts"] != r["outside_window_pkts"] + r["filtered_pkts"] + r["written_pkts"] + lost:
            faults.append(f"run {r['id']}: received is not filtered + written + lost")
        if lost:
            faults.append(f"run {r['id']} lost {lost} packets")
    received = sum(p["received_pkts"] for p in summary["ports"])
    if any(r["received_pkts"] > received for r in summary["runs"]):
        faults.append("a run received more than the ports")
    return faults


class Recorder:
    """The two programs of one build, on the CPUs that they may use."""

    def __init__(self, build, cpus):
        self.build = build
        self.wirespool = os.path.join(build, "cli/wirespool")
        self.wirespoold = os.path.join(build, "control/wirespoold")
        self.cpus = cpus
        for program in (self.wirespool, self.wirespoold):
            if not os.access(program, os.X_OK):
                raise SystemExit(f"{program} is not there: cmake --preset release && cmake --build --preset release")

    def record(self, seconds, device, *options, output="null:"):
        """`wirespool record`, and from its summary what one case may want to know."""
        command = [self.wirespool, "record", "--json", "--for", f"{int(seconds * 1000)}ms", "-o", output, *options, device]
        out, err, code, cost = run_program(command, self.cpus, seconds + PATIENCE_S)
        if code == -signal.SIGKILL:
            raise CannotMeasure(f"wirespool did not end within {PATIENCE_S + KILL_AFTER_S} s after it should have")
        if code not in (0, 3):
            raise CannotMeasure(f"wirespool ended with exit code {code}: {err or 'no word'}")
        summary = json.loads(out)
        run = summary["runs"][0]
        duration_s = summary["duration_s"]
        pkts, stored = run["written_pkts"], run["written_bytes"]
        handled = run["received_pkts"] - run["outside_window_pkts"]
        return {
            "mpps": handled / duration_s / 1e6,
            "wire_gbps": (run["wire_bytes"] + WIRE_BESIDE_STORED * pkts) * 8 / duration_s / 1e9,
            "stored_gBps": stored / duration_s / 1e9,
            "cpu_ns_per_packet": cost["cpu_s"] * 1e9 / max(handled, 1),
            "faults": ledger_faults(summary),
            "cost": cost,
            "summary": summary,
        }


class Daemon:
    """A wirespoold with settings of its own, from its start to its end."""

    def __init__(self, recorder, ports, recordings, writer_cpus=(), settings=""):
        self.work = tempfile.mkdtemp(prefix="wirespool-bench-")
        self.client = None
        path = os.path.join(self.work, "socket")
        conf = os.path.join(self.work, "conf")
        writers = f"cpus = [{', '.join(map(str, writer_cpus))}];" if writer_cpus else ""
        with open(conf, "w") as f:
            f.write(
                f'control: {{ socket = "{path}"; }};\nwriters: {{ {writers} }};\n{settings}'
                f"ports: ( {', '.join(ports)} );\nrecordings: ( {', '.join(recordings)} );\n"
            )
        self.out = open(os.path.join(self.work, "out"), "w+")
        self.log = open(os.path.join(self.work, "log"), "w+")
        self.process = subprocess.Popen(
            [recorder.wirespoold, "-c", conf],
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.log,
            preexec_fn=pinned(recorder.cpus),
        )

    def __enter__(self):
        try:
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for f in (self.client, self.out, self.log):
            if f is not None:
                f.close()
        shutil.rmtree(self.work)

    def said(self, f):
        f.seek(0)
        return f.read().strip()

    def connect(self):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise CannotMeasure("wirespoold did not start: " + self.said(self.log))
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(PATIENCE_S)
            try:
                s.connect(os.path.join(self.work, "socket"))
            except OSError:
                s.close()
                time.sleep(0.02)
                continue
            self.client = s.makefile("rw")
            s.close()
            self.ask(cmd="status")  # answered once ports are up
            return
        raise CannotMeasure("wirespoold did not answer")

    def ask(self, **request):
        self.client.write(json.dumps(request) + "\n")
        self.client.flush()
        answer = json.loads(self.client.readline() or '{"ok":false,"error":"the daemon is gone"}')
        if not answer["ok"]:
            raise CannotMeasure(answer["error"])
        return answer

    def cpu_s(self):
        """Of all its threads, to the nanosecond; /proc/PID/stat counts ticks of 10 ms."""
        paths = glob.glob(f"/proc/{self.process.pid}/task/*/schedstat")
        return sum(int(first_line(path, "0").split()[0]) for path in paths) / 1e9

    def end(self):
        """SIGTERM; returns the end summary."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        if code not in (0, 3):
            raise CannotMeasure(f"wirespoold ended with exit code {code}: {self.said(self.log)}")
        return json.loads(self.said(self.out))

    def live_rate(self, recordings, seconds):
        """Triggers the recordings, and measures the port while all of them are live."""
        for name in recordings:
            self.ask(cmd="trigger", recording=name)
        before = self.wait_live(len(recordings))
        begun_cpu_s = self.cpu_s()
        with Noise() as noise:
            time.sleep(seconds)
            after = self.ask(cmd="status")
        used_s = self.cpu_s() - begun_cpu_s
        if len(after["runs"]) != len(recordings):
            raise CannotMeasure("a run ended before its time")
        passed_s = after["uptime_s"] - before["uptime_s"]

        def count(status, key, kind):
            return sum(o[key] for o in status[kind])

        pkts = count(after, "received_pkts", "ports") - count(before, "received_pkts", "ports")
        packed = count(after, "written_pkts", "runs") - count(before, "written_pkts", "runs")
        summary = self.end()
        return {
            "mpps": pkts / passed_s / 1e6,
            "packed_mpps": packed / passed_s / 1e6,
            "faults": ledger_faults(summary),
            "cost": {"cpu_s": round(used_s, 3), **noise.report(used_s)},
            "summary": summary,
        }

    def idle(self, seconds):
        """What it takes of a CPU while nothing is recorded."""
        time.sleep(1)  # a start is no rest
        begun_s, begun_cpu_s = time.monotonic(), self.cpu_s()
        with Noise() as noise:
            time.sleep(seconds)
        used_s, passed_s = self.cpu_s() - begun_cpu_s, time.monotonic() - begun_s
        return {"percent": 100 * used_s / passed_s, "cost": {"cpu_s": used_s, **noise.report(used_s)}}

    def wait_live(self, count):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = self.ask(cmd="status")
            if len(status["runs"]) == count and all(
                r["state"] == "live" and r["received_pkts"] > 0 for r in status["runs"]
            ):
                return status
            time.sleep(0.02)
        raise CannotMeasure("the runs did not become live")


def conf_port(name, device, lcores=()):
    cpus = f" lcores = [{', '.join(map(str, lcores))}];" if lcores else ""
    return f'{{ name = "{name}"; device = "{device}";{cpus} }}'


def conf_recording(name, port, expression=None):
    rule = f' filter = "{expression}";' if expression else ""
    return f'{{ name = "{name}"; ports = ["{port}"];{rule} stripes = ["null:"]; when = "trigger"; }}'
