"""Which test shows which threat: `python -m tests.meta.threats` writes it into docs/threat-model.md.

A test shows a threat when the threat's id stands in its name or docstring. The page's last column links to the files
with the most such tests; a row without any gets a dash, and the tests then fail.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict

from tests.meta import repository

PAGE = "docs/threat-model.md"
NONE = "—"
_MOST = 2
"""Links in one row."""
_ROW = re.compile(r"\| ([A-Z]\d{2}) \|(?: [^|\n]* \|)+")
_IN_TEXT = re.compile(r"\b([STRIDEF]\d{2})\b")
_IN_NAME = re.compile(r"(?:^|_)([stridef]\d{2})(?=_|$)")


def shown() -> dict[str, Counter[str]]:
    """Return, for each id, how many tests of which file name it."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path in repository.files("tests/**/test_*.py", "tests/test_*.py"):
        for node in ast.walk(ast.parse(repository.read(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                ids = set(_IN_TEXT.findall(ast.get_docstring(node) or ""))
                ids |= {one.upper() for one in _IN_NAME.findall(node.name)}
                for one in ids:
                    found[one][path] += 1
    return found


def filled(page: str, tests: dict[str, Counter[str]]) -> str:
    """Return the text of the page with its last column made anew."""

    def row(found: re.Match[str]) -> str:
        cells = found[0].split("|")
        files = sorted(tests.get(found[1], {}).items(), key=lambda item: (-item[1], item[0]))[:_MOST]
        cells[-2] = f" {', '.join(f'[{_short(path)}](../{path})' for path, _ in files) or NONE} "
        return "|".join(cells)

    return _ROW.sub(row, page)


def _short(path: str) -> str:
    return path.removeprefix("tests/").removesuffix(".py").replace("/test_", "/")


def main() -> int:
    """Write the page; print the ids that no test names; return the exit status."""
    page = filled(repository.read(PAGE), shown())
    (repository.ROOT / PAGE).write_text(page, encoding="utf-8")
    bare = [found[1] for found in _ROW.finditer(page) if found[0].endswith(f" {NONE} |")]
    sys.stdout.writelines(f"{one}: no test names it\n" for one in bare)
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main())
