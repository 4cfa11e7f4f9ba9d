"""What the text forms share: who, through which groups, one line for each finding. All of it safe for terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from shared.bypass.finding import Principal, Unread
from shared.bypass.report import ReportedFinding
from shared.bypass.spelling import fold
from shared.bypass.visible import quoted, visible
from shared.bypass.wording import counted

MOST: Final = 50
"""Lines of one list: what comes after them is counted, and is in the JSON."""
_GROUPS: Final = 4
"""Groups of one chain that are named in a line."""
_NAME: Final = 64
"""Characters of a name in a line."""
_SENTENCE: Final = 160
"""Of a sentence in a line: --explain has the whole."""
_UNREAD: Final = 400
_ID: Final = 100
_COMMAND: Final = 8_000

Names = Mapping[str, str]


def who(principal: Principal, target: str) -> str:
    """Return whom a finding is about; `target` is the report's."""
    if fold(principal.id) == fold(target):
        return "the resource itself"
    if principal.id.startswith("/"):
        return f"{visible(principal.type, _NAME)} {place(principal.id)}"
    kind = f"{visible(principal.type, _NAME)} {visible(principal.id, _ID)}"
    name = principal.display_name
    return kind if name is None else f"{quoted(name, _NAME)} ({kind})"


def place(id_: str) -> str:
    """Return the last type and name of an ARM id, such as `onlineEndpoints/fraud`."""
    return visible("/".join(id_.rstrip("/").rsplit("/", 2)[-2:]), _ID)


def called(id_: str, names: Names) -> str:
    """Return the name of a group or role, or its id where nobody says one."""
    name = names.get(id_)
    return visible(id_, _ID) if name is None else quoted(name, _NAME)


def through(groups: Sequence[str], names: Names) -> str:
    """Return the groups in between, from the principal to the one that holds the role; empty for none."""
    shown = [called(group, names) for group in groups]
    if len(shown) > _GROUPS:
        shown[2:-2] = [f"({counted(len(shown) - _GROUPS, 'group')})"]
    return " > ".join(shown)


def line(finding: ReportedFinding, *, target: str, names: Names) -> str:
    """Return `finding` in one line, without its severity."""
    via = through(finding.via, names)
    marks: list[str] = [] if finding.state == "active" else [finding.state]
    if finding.accepted is not None:
        marks.append(f"accepted until {finding.accepted.until} by {visible(finding.accepted.owner, _NAME)}")
    return "".join(
        (
            f"{visible(finding.id, _ID)}  {finding.way:<15}  {who(finding.principal, target)}",
            f" via {via}" if via else "",
            f": {visible(finding.detail, _SENTENCE)}",
            f"  [{'; '.join(marks)}]" if marks else "",
        )
    )


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
