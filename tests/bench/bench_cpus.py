"""Two CPUs for a run: how far apart they are, how long they stand still, and how fast they copy."""

import argparse
import json
import os
import subprocess
import sys
import time

import bench_runs
from bench_runs import CannotMeasure

LOOK_S = 0.05
TRIES_NEAR = 20
WAIT_NEAR_S = 30


class Cpus:
    """
    A virtual CPU may be moved to another cache or socket at any moment. `near` is the round trip in ns of
    a cache line up to which a run counts; None takes every run.
    """

    def __init__(self, cpus, near, work):
        self.cpus = cpus
        self.near = near
        self.work = work

    def tool(self, name):
        """A program of this directory, compiled when it is used first."""
        program = os.path.join(self.work, name)
        if not os.path.exists(program):
            source = os.path.join(bench_runs.TREE, "tests/bench", name + ".c")
            command = ["cc", "-D_GNU_SOURCE", "-O3", "-march=native", "-pthread", "-o", program, source]
            if subprocess.run(command, check=False).returncode != 0:
                raise CannotMeasure(f"{name}.c does not compile")
        return program

    def run_tool(self, cpus, seconds, name, *arguments):
        command = [self.tool(name), *map(str, arguments)]
        out, err, code, cost = bench_runs.run_program(command, cpus, seconds + bench_runs.PATIENCE_S)
        if code != 0:
            raise CannotMeasure(f"{name}: {err}")
        return json.loads(out) | {"cost": cost}

    def memcpy(self, seconds, mbufs, stored):
        """On the writer's CPU, which is the first."""
        seconds = max(1, round(seconds))
        return self.run_tool(self.cpus[:1], seconds, "memcpy_yardstick", seconds, mbufs, *stored)

    def look(self, seconds=LOOK_S, reach_us=0):
        ms = round(seconds * 1000)
        got = self.run_tool(self.cpus, seconds, "line_rate_cpus", *self.cpus[:2], ms, round(reach_us))
        got["others_percent"] = got.pop("cost")["others_percent"]
        return got

    def is_near(self, look):
        return self.near is None or look["round_trip_ns"] <= self.near

    def wait_near(self):
        end = time.monotonic() + WAIT_NEAR_S
        while not self.is_near(look := self.look()):
            if time.monotonic() > end:
                raise CannotMeasure(f"the two CPUs were not near each other in {WAIT_NEAR_S} s")
            time.sleep(0.2)
        return look

    def run(self, measure, far):
        """Measures until the CPUs are near at both ends of a run; the others are put into far."""
        for _ in range(TRIES_NEAR):
            before = self.wait_near()
            run = measure() | {"cpus_before": before, "cpus_after": self.look()}
            if self.is_near(run["cpus_after"]):
                return run
            far.append(run)
        raise CannotMeasure(f"the two CPUs did not stay near each other in {TRIES_NEAR} runs")


def noise_lines(runs, far):
    """The worst of all runs tells whether the figures are to be believed."""
    lines = []
    for key, what in (("steal_percent", "stolen by the hypervisor"), ("others_percent", "used by other programs")):
        values = [run["cost"][key] for run in runs if key in run.get("cost", {})]
        if values:
            s = bench_runs.spread(values)
            lines.append(f"- CPU time {what} in a run: {s['median']:.1f} % ({s['low']:.1f}..{s['high']:.1f})")
    looks = [run[when] for run in runs for when in ("cpus_before", "cpus_after") if when in run]
    if looks:
        s = bench_runs.spread([look["round_trip_ns"] for look in looks])
        longest_us = max(look["longest_stall_us"] for look in looks)
        lines.append(
            f"- a cache line from one CPU to the other and back: {s['median']:.0f} ns ({s['low']:.0f}..{s['high']:.0f});"
            f" longest stall seen beside the runs, in {LOOK_S} s each: {longest_us:.0f} us"
        )
    if far:
        lines.append(f"- {len(far)} runs do not count: the hypervisor had moved the two CPUs apart (--near)")
    return "\n".join(lines)


def two(text):
    cpus = [int(part) for part in text.split(",")]
    if len(set(cpus)) != 2 or not set(cpus) <= os.sched_getaffinity(0):
        raise argparse.ArgumentTypeError(f"'{text}' is not two CPUs that can be used, as in 0,1")
    return cpus


def add_options(parser, names):
    """What line_rate and curves both take."""
    release = os.path.join(bench_runs.TREE, "build/release")
    parser.add_argument("--build", default=release, metavar="DIR",
                        help="where cli/wirespool and control/wirespoold were built; default build/release")
    parser.add_argument("--only", metavar="NAME,...", help="some of: " + ", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one short run of each: a look, not a result")
    parser.add_argument("--repetitions", type=int, metavar="N", help="runs of each; default 5")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a run; default 3")
    parser.add_argument("--cpus", type=two, metavar="A,B", help="two CPUs; default: the first two cores")
    parser.add_argument("--near", type=float, metavar="NS",
                        help="count only runs that begin and end with a cache line going from one CPU to the other "
                        "and back in so many ns: for machines whose hypervisor moves CPUs between caches")


def settle_options(parser, args, names, more=()):
    """Fills in what was not said. more: (option, value with --quick, value without)."""
    for key, quick, full in (("repetitions", 1, 5), ("seconds", 1, 3), *more):
        if getattr(args, key) is None:
            setattr(args, key, quick if args.quick else full)
        if getattr(args, key) <= 0:
            parser.error(f"--{key.replace('_', '-')} must be more than 0")
    args.only = args.only.split(",") if args.only else names
    for name in args.only:
        if name not in names:
            parser.error(f"'{name}' is not one of {', '.join(names)}")
    args.cpus = args.cpus or bench_runs.two_cpus()


def say(text):
    print(text, file=sys.stderr, flush=True)
