"""Run the benchmark: `python -m bench [SECTION …] [--quick]`; all sections together write bench/results.md."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from bench import report

SECTIONS = {
    "fast": "bench.throughput",
    "slow": "bench.throughput",
    "outside": "bench.outside",
    "decision": "bench.decision",
    "cold": "bench.cold",
    "imports": "bench.imports",
    "memory": "bench.memory",
    "audit": "bench.audit",
    "streams": "bench.streams",
    "flood": "bench.flood",
    "litellm": "bench.litellm",
    "counting": "bench.counting",
    "jobs": "bench.jobs",
    "bypass": "bench.bypass",
}


def main() -> int:
    """Run what was asked for, print each section as it comes; 0 even where a target is missed: it is a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"out of: {', '.join(SECTIONS)}; none: all"
    )
    parser.add_argument("--quick", action="store_true", help="a short look; its numbers are not to be quoted")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.md"))
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    done = []
    for name in arguments.sections or SECTIONS:
        measure: report.Measure = getattr(import_module(SECTIONS[name]), name)
        section = measure(arguments.quick)
        print(section.text(), flush=True)
        done.append(section)
    if not arguments.sections:
        report.write(arguments.output, done, quick=arguments.quick)
        print(f"written to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
