"""The documentation's links lead somewhere, and the check that says so sees what it should."""

from __future__ import annotations

import pytest

from tests.meta import markdown
from tests.meta.links import dead, main

PAGES = {
    "README.md": "# A *b* `c`: d\n\n## Same\n\n## Same\n",
    "docs/a.md": '# Über uns\n<a id="mark"></a>\n',
}
PRESENT = {*PAGES, "docs/picture.png"}


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[x](nothing.md)", "no such file"),
        ("[x](../nothing.md#here)", "no such file"),
        ("![x](docs/nothing.png)", "no such file"),
        ("[x]: docs/nothing.md", "no such file"),
        ('<a href="nothing.md">x</a>', "no such file"),
        ("[x](#nothing)", "no such heading"),
        ("[x](docs/a.md#uber-uns)", "no such heading"),
        ("[x](README.md#same-2)", "no such heading"),
        ("[x](/docs/a.md)", "starts at the root of a site"),
        ("[x](../../outside.md)", "no such file"),
    ],
)
def test_a_dead_link_is_found_with_its_place(link: str, wrong: str) -> None:
    """A link to no file, or to no heading of it, is told with page, line and target."""
    (found,) = dead(PAGES | {"x.md": f"first line\n{link}\n"}, {*PRESENT, "x.md"})
    assert found.startswith("x.md:2: ")
    assert found.endswith(wrong)


@pytest.mark.parametrize(
    "link",
    [
        "[x](docs/a.md)",
        "[x](docs/a.md#über-uns)",
        "[x](docs/a.md#%C3%BCber-uns)",
        "[x](docs/a.md#mark)",
        '[x](README.md#a-b-c-d "with a title")',
        "[x](README.md#same-1)",
        "[x](docs)",
        "[x](./docs/picture.png)",
        "[x](https://example.org/nothing)",
        "[x](mailto:somebody@example.org)",
        "`[x](nothing.md)`",
        "```\n[x](nothing.md)\n```",
    ],
)
def test_a_live_link_is_left_alone(link: str) -> None:
    """Files, folders, headings, other sites and code are no faults."""
    assert list(dead(PAGES | {"x.md": f"{link}\n"}, {*PRESENT, "x.md"})) == []


def test_a_table_is_read_by_its_columns() -> None:
    """Tables are found by their first heading and read as one; a bar behind a backslash is text."""
    text = "| a | b |\n|---|---|\n| 1 | x \\| y |\n\n| c |\n|---|\n| 3 |\n\n| a | b |\n|---|---|\n| 2 | z |\n"
    assert markdown.table(text, "a") == [{"a": "1", "b": "x | y"}, {"a": "2", "b": "z"}]
    assert markdown.table(text, "c") == [{"c": "3"}]
    with pytest.raises(LookupError):
        markdown.table(text, "b")


def test_no_link_of_the_project_is_dead(capsys: pytest.CaptureFixture[str]) -> None:
    """Every relative link and anchor in every Markdown file leads somewhere."""
    status = main()
    assert capsys.readouterr().out == ""
    assert status == 0
