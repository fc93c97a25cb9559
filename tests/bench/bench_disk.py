"""The recorder and fio on the same directory, in pairs: as many bytes each, new files each time. Who
begins takes turns, as a disk may give more to the first.

fio gets what the recorder has: registered buffers in huge pages, where there are any. In ordinary
pages a write of 1 MiB has 256 pieces, more than many disks take at once, and is much slower.

Both are timed until the disk has said that it has everything: the recorder until its last file is synced
and has its final name, fio with end_fsync. fio's file is preallocated before its clock starts; the
recorder preallocates while it records.
"""

import calendar
import json
import os
import shutil
import subprocess
import tempfile
import time

from bench_runs import PATIENCE_S, CannotMeasure, run_program

BLOCKS = ("512k", "1M", "4M")
DEPTHS = (16, 32)
MIN_BYTES = 1 << 30
TRY_BYTES = 4 << 30
FIO = (
    "fio --name=write --rw=write --ioengine=io_uring --direct=1 --fixedbufs --registerfiles --end_fsync=1 "
    "--output-format=json"
).split()


def free_bytes(path):
    fs = os.statvfs(path)
    return fs.f_bavail * fs.f_frsize


def ns_of(text):
    """2026-11-21T03:30:00.123Z as ns since the epoch."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))


class Pairs:
    def __init__(self, recorder, directory, seconds):
        self.recorder = recorder
        self.directory = directory
        self.seconds = seconds
        self.max_bytes = free_bytes(directory) // 3
        if self.max_bytes < MIN_BYTES:
            raise CannotMeasure(f"{directory}: less than {3 * MIN_BYTES >> 30} GiB free")
        if shutil.which("fio") is None:
            raise CannotMeasure("fio is not there (apt-get install fio)")
        self.memory = self.best_memory()
        self.block, self.depth, self.tried = self.best_settings()
        self.fio_first = False
        self.last_bytes = 0

    def fio(self, block, depth, size, *more):
        with tempfile.TemporaryDirectory(dir=self.directory, prefix="wirespool-fio-") as work:
            command = [*FIO, f"--directory={work}", f"--bs={block}", f"--iodepth={depth}", f"--size={size}"]
            command += [f"--mem={self.memory}", *more]
            out, err, code, cost = run_program(command, self.recorder.cpus, self.seconds * 10 + PATIENCE_S)
        if code != 0:
            raise CannotMeasure("fio: " + (err or out))
        write = json.loads(out)["jobs"][0]["write"]
        return {"bytes": write["io_bytes"], "seconds": write["runtime"] / 1e3, "cost": cost}

    def best_memory(self):
        self.memory = "shmhuge"
        try:
            self.fio(BLOCKS[-1], DEPTHS[-1], "64M")
        except CannotMeasure:
            return "malloc"
        return "shmhuge"

    def best_settings(self):
        """By the faster of two tries each: what else the disk does makes a try slower, never faster."""
        tried = {}
        size = min(self.max_bytes, TRY_BYTES)
        for block, depth in [(block, depth) for block in BLOCKS for depth in DEPTHS] * 2:
            got = self.fio(block, depth, size, f"--runtime={max(1, round(self.seconds / 2))}")
            rate = round(got["bytes"] / got["seconds"] / 1e9, 3)
            tried[block, depth] = max(rate, tried.get((block, depth), 0))
        return *max(tried, key=tried.get), {f"bs={block} iodepth={depth}": rate for (block, depth), rate in tried.items()}

    def record(self):
        with tempfile.TemporaryDirectory(dir=self.directory, prefix="wirespool-bench-") as work:
            run = self.recorder.record(
                self.seconds, "gen:rate=max,size=1518", "--bytes", str(self.max_bytes), output=work
            )
            live = run["summary"]["runs"][0]
            stats = [os.stat(path) for path in live["files"]]
            found = count_packets(live)
        # The last change of a file's inode is its renaming, after the last sync.
        run["sealed_s"] = (max(s.st_ctime_ns for s in stats) - ns_of(live["start"])) / 1e9
        run["file_bytes"] = self.last_bytes = sum(s.st_size for s in stats)
        run["read_back"] = "capinfos finds each packet in the files"
        if found is None:
            run["read_back"] = "not read back: capinfos is not there"
        elif found != live["written_pkts"]:
            run["faults"].append(f"{live['written_pkts']} packets said to be written, {found} found in the files")
        return run

    def measure(self):
        if self.fio_first:
            fio = self.fio(self.block, self.depth, self.last_bytes)
            run = self.record()
        else:
            run = self.record()
            fio = self.fio(self.block, self.depth, self.last_bytes)
        run["first"] = "fio" if self.fio_first else "wirespool"
        self.fio_first = not self.fio_first
        disk_gBps, fio_gBps = run["file_bytes"] / run["sealed_s"] / 1e9, fio["bytes"] / fio["seconds"] / 1e9
        how = f"fio: bs={self.block} iodepth={self.depth} mem={self.memory}"
        return run | {
            "disk_gBps": disk_gBps,
            "fio_gBps": fio_gBps,
            "of_fio": disk_gBps / fio_gBps,
            "fio": fio | {"how": how, "tried_gBps": self.tried},
        }


def count_packets(live):
    """What another reader finds in the files."""
    if shutil.which("capinfos") is None:
        return None
    got = subprocess.run(
        ["capinfos", "-c", "-M", "-T", "-r", *live["files"]], capture_output=True, text=True, check=False
    )
    if got.returncode != 0:
        raise CannotMeasure("capinfos: " + got.stderr.strip())
    return sum(int(line.split("\t")[1]) for line in got.stdout.splitlines())
