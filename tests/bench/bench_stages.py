"""Which stage of a packet's way an instruction belongs to, by the debug data: inlined functions count as what they are."""

import os
import re
import subprocess

FILTER = "udp port 53 or net 10.1.0.0/16"  # keeps all; every flow of the generator is 10.1.x.y <-> 10.2.0.z
MATCH = "match"
WAITING = "waiting"
OTHER = "other"

# Per thread: (stage, functions, files). The innermost function that is named here tells, else the
# innermost file.
RX = (
    (WAITING, {"nothing_came", "pause_ns"}, set()),
    ("generator, in place of a driver", set(), {"gen.c", "frames_build.c", "frames_fragment.c", "frames.c"}),
    ("look, stamp", {"look_at", "look_closer", "stamp"}, set()),
    (MATCH, {"match", "match_window"}, {
        "cutoff.c", "expression.c", "filter.c", "flow_key.c", "flow_key.h", "fragments.c", "judge.c", "judge_odd.c",
        "judge_parts.h", "keyed_hash.h", "program.c", "program_maybe.c", "rule_cache.c", "rule_table.c"}),
    ("cut", {"measure"}, {"cut.c", "headers.c"}),
    ("hand over", {"hand_over", "take_references"}, set()),
    ("mbufs back to their pool", {"give_back"}, set()),
    ("poll, publish", set(), {"rx.c", "plan.c"}),
)
WRITER = (
    (WAITING, {"rest", "wait_for_bell"}, set()),
    ("drain, pack", set(), {"drain.c"}),
    ("chunks, segments", set(), {"stream.c", "chunk.c", "encode.c", "run.c"}),
    ("submit, reap", set(), {"spool.c", "stripe.c"}),
    ("rounds", set(), {"writer.c"}),
)
THREADS = (("rx lcore", RX), ("writer", WRITER))


def inlined(program, addresses):
    """By address: the functions and files that it is in, the innermost first."""
    asked = "\n".join(map(hex, addresses))
    got = subprocess.run(
        ["addr2line", "-a", "-i", "-f", "-e", program], input=asked, capture_output=True, text=True, check=True
    )
    chains, chain = {}, None
    lines = iter(got.stdout.splitlines())
    for line in lines:
        if line.startswith("0x"):
            chain = chains[int(line, 16)] = []
        else:
            function = re.sub(r"\.(constprop|isra|part|cold).*", "", line)
            chain.append((function, os.path.basename(next(lines).rpartition(":")[0])))
    return chains


def stage_of(chain, stages):
    for function, _ in chain:
        for stage, functions, _ in stages:
            if function in functions:
                return stage
    for _, file in chain:
        for stage, _, files in stages:
            if file in files:
                return stage
    return OTHER


def table(heading, titles, results, form, extra=(), beside=()):
    """
    results: for each title, by thread, the cost of each stage. What is waited is no cost; what is
    beside is told and not added.
    """
    lines = [f"| {heading} | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]

    def line(what, values, mark=""):
        lines.append(f"| {mark}{what}{mark} | " + " | ".join(f"{mark}{form(v)}{mark}" for v in values) + " |")

    for thread, stages in THREADS:
        costs = [stage for stage, _, _ in stages if stage != WAITING] + [*extra, OTHER]
        for stage in costs:
            values = [found[thread].get(stage, 0) for found in results]
            if stage != OTHER or max(values) >= 0.1:
                line(f"{thread}: {stage}", values)
        line(f"{thread}, all", [sum(found[thread].get(stage, 0) for stage in costs) for found in results], "**")
        for stage in beside:
            line(f"{thread}: {stage}", [found[thread].get(stage, 0) for found in results])
    return "\n".join(lines)
