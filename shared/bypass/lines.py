"""What the text forms share: who, through which groups, one line for each finding. All of it safe for terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from shared.bypass.finding import Principal, Unread
from shared.bypass.report import Acceptance, Gate, ReportedFinding
from shared.bypass.spelling import fold
from shared.bypass.visible import bare, named, quoted, visible
from shared.bypass.wording import counted

MOST: Final = 50
"""Lines of one list: what comes after them is counted, and is in the JSON."""
_GROUPS: Final = 4
"""Groups of one chain that are named in a line."""
_NAME: Final = 64
"""Characters of a name in a line."""
_SENTENCE: Final = 240
"""Of sentences in a line: --explain has the whole."""
WHOLE: Final = 7_000
"""Of sentences that are told whole, however much somebody may do."""
_UNREAD: Final = 400
_ID: Final = 100
_COMMAND: Final = 8_000

Names = Mapping[str, str]


def who(principal: Principal, target: str) -> str:
    """Return whom a finding is about; `target` is the report's."""
    if fold(principal.id) == fold(target):
        return "the resource itself"
    if principal.id.startswith("/"):
        return f"{bare(principal.type, _NAME)} {place(principal.id)}"
    kind = f"{bare(principal.type, _NAME)} {bare(principal.id, _ID)}"
    name = principal.display_name
    return kind if name is None else f"{quoted(name, _NAME)} ({kind})"


def place(id_: str) -> str:
    """Return the last type and name of an ARM id, such as `onlineEndpoints/fraud`."""
    return bare("/".join(id_.rstrip("/").rsplit("/", 2)[-2:]), _ID)


def gated(gate: Gate | None) -> str:
    """Return what the gate is."""
    if gate is None:
        return "none is named"
    named = (("site", gate.site_id), ("identity", gate.principal_id))
    said = ", ".join(f"{what} {bare(id_, 1000)}" for what, id_ in named if id_ is not None)
    return "; ".join(filter(None, (said, unlooked(gate))))


def unlooked(gate: Gate) -> str:
    """Return what of the gate nobody looked at, for the snapshot does not name it; empty for nothing."""
    if gate.site_id is None:
        return "its site is not named: who may take it over was not looked for"
    return "" if gate.site_read else "the site is not in the snapshot: what it is made of was not looked at"


def bounds(accepted: Acceptance) -> str:
    """Return how bad what is accepted may become, to be said after something else; empty where nobody said."""
    most = [*filter(None, (accepted.severity, accepted.state))]
    return f", at most {' and '.join(most)}" if most else ""


def called(id_: str, names: Names) -> str:
    """Return the name of a group or role, or its id where nobody says one."""
    return named(id_, names.get(id_))


def through(groups: Sequence[str], names: Names) -> str:
    """Return the groups in between, from the principal to the one that holds the role; empty for none."""
    shown = [called(group, names) for group in groups]
    if len(shown) > _GROUPS:
        shown[2:-2] = [f"({counted(len(shown) - _GROUPS, 'group')})"]
    return " > ".join(shown)


def links(finding: ReportedFinding) -> Iterator[tuple[str, str]]:
    """Yield the groups in between, each with how what comes before stands to it: who owns a group need not be in it."""
    owner = finding.way == "group-owner"
    for at, group in enumerate(finding.via):
        yield ("which is in" if at else "owns") if owner else "in", group


def chained(finding: ReportedFinding, names: Names) -> str:
    """Return by which groups the principal comes to it, to be said after its name; empty for none."""
    if not finding.via:
        return ""
    how = "as owner of" if finding.way == "group-owner" else "via"
    return f" {how} {through(finding.via, names)}"


def brief(sentences: str, most: int) -> str:
    """Return `sentences`, visible, of at most `most` characters: whole ones if that is not too little, else whole words."""
    if len(sentences) <= most:
        return visible(sentences, most)
    kept = sentences[: most + 1]
    ends = kept.rfind(". ") + 1
    if ends <= most // 2:
        ends = kept.rfind(" ")
    return f"{visible(kept[:ends], most)} …" if ends > 0 else visible(sentences, most)


def line(finding: ReportedFinding, *, target: str, names: Names, was: str | None = None) -> str:
    """Return `finding` in one line, without its severity; `was` is what it was before.

    What the report says of it stands in square brackets at the end, and nothing else does: those in names are escaped.
    """
    marks: list[str] = [] if finding.state == "active" else [finding.state]
    if finding.accepted is not None:
        marks.append(f"accepted until {finding.accepted.until} by {visible(finding.accepted.owner, _NAME)}")
    if was is not None:
        marks.append(was)
    told = "".join(
        (
            f"{bare(finding.id, _ID)}  {finding.way:<15}  {who(finding.principal, target)}",
            chained(finding, names),
            f": {brief(finding.detail, _SENTENCE)}",
        )
    ).replace("[", "\\[")
    return f"{told}  [{'; '.join(marks)}]" if marks else told


def unread_lines(unread: Sequence[Unread]) -> Iterator[str]:
    """Yield what could not be read, a line each."""
    yield from bounded(unread, lambda item: f"{visible(item.what, _UNREAD)}: {visible(item.why, _UNREAD)}")


def bounded[Item](items: Sequence[Item], render: Callable[[Item], str], rest: str = "") -> Iterator[str]:
    """Yield a line for each of `items`, no more than MOST; then how many more there are, and `rest` of those."""
    for item in items[:MOST]:
        yield f"  {render(item)}"
    if len(items) > MOST:
        yield f"  and {len(items) - MOST:,} more{rest}; --json has all"


def command_lines(command: str) -> Iterator[str]:
    """Yield the lines of a command that is printed and never run."""
    if len(command) > _COMMAND:
        # Half of a command is another one.
        yield "# too long to be shown here; --json has it"
        return
    for written in command.split("\n"):
        yield visible(written, _COMMAND)
