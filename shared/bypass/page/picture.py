"""The picture of the page: who reaches the model by which way, past the gate, drawn once for wide pages, once for narrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared.bypass.finding import Way
from shared.bypass.page.drawing import HEIGHT, TALL, arrow, box, curve
from shared.bypass.page.flows import Flow, Flows, Lane, Source
from shared.bypass.page.markup import Element, append, element
from shared.bypass.visible import visible
from shared.bypass.wording import WAYS, counted

_STEP: Final = 58
_TOP: Final = 128
"""Where the first row around the gate lies; above it is the way through the gate."""
_KINDS: Final = {
    "user": "user",
    "group": "group",
    "servicePrincipal": "app or identity",
    "foreignGroup": "group of another tenant",
    "resource": "as it is set up",
    "federatedCredential": "federated credential",
}
_FIRST: Final = 64
_TALL_STEP: Final = 72
_NAMED: Final = 2
"""Sources that a narrow lane names."""


def wide(flows: Flows, model: str, *, gated: bool, unread: bool) -> Element:
    """Return the picture in three columns: who, by which way, and the model, called `model`."""
    ways = len(flows.lanes) + unread
    rows = max(len(flows.sources), ways, 1)
    bottom = _TOP + rows * _STEP - (_STEP - HEIGHT) / 2
    drawing = _drawing(960, bottom, "wide", flows)
    at = list(_heights(rows, len(flows.sources)))
    of = list(_heights(rows, ways))
    heights = {lane.way: y for lane, y in zip(flows.lanes, of, strict=False)}
    # Lines first: boxes lie over their ends. The worst are drawn last, over the rest.
    for flow in sorted(flows.flows, key=_weight):
        append(drawing, curve(290, at[flow.source], 372, heights[flow.way], _look(flow)))
    append(drawing, *_through(gated=gated))
    append(drawing, *_model(model, bottom))
    append(drawing, element("text", "Around the gate", x=14, y=98, class_="label"))
    append(drawing, element("path", d="M138 93H706", class_="divider"))
    for source, y in zip(flows.sources, at, strict=True):
        append(drawing, _source(source, y))
    for lane, y in zip(flows.lanes, of, strict=False):
        append(drawing, _way(lane, 372, y, 264), arrow(636, y, 722, _look(lane)))
    if unread:
        append(drawing, _unread(372, of[-1], 264), arrow(636, of[-1], 722, "unknown"))
    elif not flows.lanes:
        append(
            drawing, box(372, _TOP + _STEP / 2 - 6, 264, look="way", name="No way was found", note="closed")
        )
    return drawing


def narrow(flows: Flows, *, gated: bool, unread: bool) -> Element:
    """Return the picture for a narrow page: one lane for each way, with who goes it, and the model along the right side."""
    rows = len(flows.lanes) + unread
    bottom = _FIRST + rows * _TALL_STEP
    drawing = _drawing(340, bottom, "narrow", flows)
    middle = f"{bottom / 2:g}"
    append(
        drawing,
        element("rect", x=299, y=5, width=36, height=bottom - 10, rx=8, class_="box model"),
        element(
            "text", "the model", x=317, y=middle, transform=f"rotate(90 317 {middle})", class_="name upright"
        ),
        arrow(258, 28, 297, "gate" if gated else "missing"),
        _gate(4, 28, 254, gated=gated, note="callers that the policy allows"),
    )
    places = [_FIRST + row * _TALL_STEP + TALL / 2 for row in range(rows)]
    for lane, y in zip(flows.lanes, places, strict=False):
        box_ = _way(lane, 4, y, 254, who=_goers(flows, lane.way))
        append(drawing, arrow(258, y, 297, _look(lane)), box_)
    if unread:
        append(drawing, arrow(258, places[-1], 297, "unknown"), _unread(4, places[-1], 254))
    return drawing


def _goers(flows: Flows, way: Way) -> str:
    """Return who goes `way`, the worst first."""
    sources = [flows.sources[flow.source] for flow in flows.flows if flow.way == way]
    named = [source.label for source in sources if source.label is not None]
    others = sum(source.reach for source in sources if source.label is None)
    told = named[:_NAMED]
    if len(sources) > len(told):
        told.append(f"+{len(named) - len(told[:_NAMED]) + others}")
    return ", ".join(told)


def _drawing(width: float, height: float, look: str, flows: Flows) -> Element:
    told = ", ".join(f"{WAYS[lane.way].title.lower()} ({lane.reach:,})" for lane in flows.lanes) or "none"
    return element(
        "svg", viewBox=f"0 0 {width:g} {height:g}", class_=f"picture {look}", role="img",
        aria_label=f"Ways to the model around the gate: {told}",
    )  # fmt: skip


def _heights(rows: int, number: int) -> Iterator[float]:
    """Yield where each of `number` boxes lies, as a block in the middle of `rows`."""
    above = (rows - number) * _STEP / 2
    for row in range(number):
        yield _TOP + above + row * _STEP + HEIGHT / 2 - 6


def _through(*, gated: bool) -> Iterator[Element]:
    look = "gate" if gated else "missing"
    yield curve(290, 42, 372, 42, look)
    yield box(14, 42, 276, look="source", name="Callers", note="that the policy allows", sign="user")
    yield arrow(636, 42, 722, look)
    yield _gate(372, 42, 264, gated=gated, note="asks who is calling, every time")


def _gate(x: float, y: float, width: float, *, gated: bool, note: str) -> Element:
    if gated:
        return box(x, y, width, look="gate", name="Groupgate", note=note)
    return box(x, y, width, look="gate missing", name="No gate is named", note="give it with --gate")


def _model(model: str, bottom: float) -> Iterator[Element]:
    kind, _, name = model.rpartition("/")
    yield element("rect", x=725, y=19, width=220, height=bottom - 20, rx=10, class_="box model")
    yield box(726, bottom / 2 + 10, 218, look="bare", name=name, note=visible(kind, 40))


def _source(source: Source, y: float) -> Element:
    if source.label is None:
        return box(
            14, y, 276, look="source", name=f"{counted(source.reach, 'other')}", note="below", sign="others"
        )
    note = _KINDS.get(source.kind, "of unknown kind")
    if source.kind == "group":
        note = f"{note}; {source.reach:,} through it"
    return box(14, y, 276, look="source", name=source.label, note=note, sign=source.kind)


def _way(lane: Lane, x: float, y: float, width: float, *, who: str | None = None) -> Element:
    note = f"{lane.severity}, {counted(lane.reach, 'principal')}" if lane.reach else str(lane.severity)
    if lane.accepted:
        note = f"{note}; accepted"
    elif not lane.open:
        note = f"{note}; not yet open"
    return box(x, y, width, look=f"way {_look(lane)}", name=WAYS[lane.way].title, note=note, last=who)


def _unread(x: float, y: float, width: float) -> Element:
    return box(
        x,
        y,
        width,
        look="way unknown",
        name="Not everything was read",
        note="there may be more",
        sign="unknown",
    )


def _look(lane: Flow | Lane) -> str:
    words = [lane.severity, "" if lane.open else "later", "accepted" if lane.accepted else ""]
    return " ".join(filter(None, words))


def _weight(flow: Flow) -> tuple[bool, int]:
    return not flow.accepted, ("low", "medium", "high", "critical").index(flow.severity)
