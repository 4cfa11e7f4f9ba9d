"""A thousand requests at once for one caller that the gate has never seen, on a gate that has no token yet."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from bench import rig, traffic
from bench.report import Section

AT_ONCE = 1000


def cold(quick: bool) -> Section:
    """Count what Graph and the managed identity endpoint are asked."""
    section = Section(
        title=f"{AT_ONCE:,} requests at once, one cold principal",
        about="A caller with too many groups for claims (overage), on a host that has just started; each row is a new caller.",
        head=("round", "answers", "Graph calls", "token calls", "all answered after, ms"),
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = stack.enter_context(rig.stub())
        settings = rig.gate_settings(folder, stub.url, endpoints=rig.endpoint("fraud", f"{stub.url}/score"))
        gate = stack.enter_context(rig.host(rig.ROOT, settings))
        seen = []
        for number in range(1 if quick else 3):
            header = traffic.principal(5000 + number, 0, member=False, overage=True)
            request = traffic.request("/endpoints/fraud/score", traffic.headers(5000 + number, header))
            result = rig.load(gate.port, [request], connections=AT_ONCE, once=True)
            asked = rig.counts(stub)
            tokens = {
                name.removeprefix("token "): count
                for name, count in asked.items()
                if name.startswith("token")
            }
            seen.append((result["statuses"], asked.get("graph", 0), tokens))
            section.rows.append(
                (
                    "cold gate, cold caller" if number == 0 else "warm gate, cold caller",
                    ", ".join(f"{count} x {status}" for status, count in sorted(result["statuses"].items())),
                    str(asked.get("graph", 0)),
                    ", ".join(f"{count} for {name}" for name, count in tokens.items()) or "0",
                    f"{result['seconds'] * 1000:,.0f}",
                )
            )
    section.exactly("Graph calls a cold principal", [graph for _, graph, _ in seen], [1] * len(seen))
    section.exactly("token calls for each audience", sorted(set(seen[0][2].values())), [1])
    section.exactly("answers other than 200", sum(AT_ONCE - each.get("200", 0) for each, _, _ in seen), 0)
    section.notes.append("one token request for each of two audiences: Graph's and the model's")
    return section
