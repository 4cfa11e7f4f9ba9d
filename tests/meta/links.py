"""Find dead relative links and anchors in the Markdown files: `python -m tests.meta.links`, exit status 1 if any."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from tests.meta import markdown, repository


def dead(pages: Mapping[str, str], present: AbstractSet[str]) -> Iterator[str]:
    """Yield `page:line: what is wrong` for the links of `pages` (text by path); `present` are all paths there are."""
    folders = {str(parent) for path in present for parent in PurePosixPath(path).parents}
    fragments: dict[str, set[str]] = {}
    for page, text in pages.items():
        for link in markdown.links(text):
            parts = urlsplit(link.target)
            if parts.scheme or parts.netloc:
                continue  # somebody else's page: whether it is there is not for a check that needs no network
            here = f"{page}:{link.line}: {link.target}"
            path = unquote(parts.path)
            if path.startswith("/"):
                yield f"{here}: starts at the root of a site"
                continue
            target = normpath(PurePosixPath(page).parent / path) if path else page
            if target not in present and target not in folders:
                yield f"{here}: no such file"
            elif parts.fragment and target in pages:
                if target not in fragments:
                    fragments[target] = markdown.anchors(pages[target])
                if unquote(parts.fragment) not in fragments[target]:
                    yield f"{here}: no such heading"


def main() -> int:
    """Print each dead link of the project with its place; return the exit status."""
    pages = {name: repository.read(name) for name in repository.files("*.md")}
    found = list(dead(pages, set(repository.files())))
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
