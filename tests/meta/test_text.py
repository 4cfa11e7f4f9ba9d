"""What the project's texts name exists, and they name nothing of the machines they were written on."""

from __future__ import annotations

import re
import subprocess

import pytest

from shared.backends.target import target_of
from shared.surface import ADDRESSES, MODEL_LIST
from tests.meta import markdown, repository

PAGES = repository.files("*.md")
_MAKE = re.compile(r"(?:^|&& )make ([a-z]+)\b", re.MULTILINE)
_SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROUTE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
_MODULE = re.compile(r"python3? -m ((?:local|tests|shared|bench)[\w.]*)")
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|Users|workspace)/\w|[A-Z]:\\Users")
REGISTRY = re.compile(r"\b(?:[\w-]+\.)*(?:pypi\.org|pythonhosted\.org|npmjs\.org|crates\.io)\b")

ROUTES = [
    re.compile(f"{method} /" + re.escape(address.template).replace(r"\{name\}", r"(?:\{name\}|[a-z-]+)"))
    for address in [*ADDRESSES.values(), MODEL_LIST]
    for method in address.methods or ()
]


def asks(span: str) -> bool:
    """Say whether a method and a path, such as `POST /openai/v1/responses`, ask something of a model."""
    method, _, path = span.partition(" /")
    route, _, rest = path.replace("{id}", "resp_1").partition("/")
    return route in {"openai", "models"} and method in target_of(route, rest, method).methods


def made(page: str) -> set[str]:
    """Return what a page tells people to `make`, in inline code or in blocks of commands."""
    text = repository.read(page)
    return set(_MAKE.findall("\n".join([*markdown.code_spans(text), *_SHELL.findall(text)])))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", repository.read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_make_commands_in_docs_are_targets(page: str) -> None:
    """Every `make something` that a page tells people to type is a target of the Makefile."""
    assert made(page) - targets() == set()


def test_the_readme_names_the_commands_of_the_contract() -> None:
    """A newcomer finds demo, up, test, check and bench."""
    assert made("README.md") >= {"demo", "up", "test", "check", "bench"}


@pytest.mark.parametrize("page", PAGES)
def test_modules_in_docs_exist(page: str) -> None:
    """Every `python -m` of this project's own names a module or package that is there."""
    for module in _MODULE.findall(repository.read(page)):
        path = module.replace(".", "/")
        assert repository.files(f"{path}.py", f"{path}/__main__.py"), module


@pytest.mark.parametrize("page", PAGES)
def test_routes_in_docs_are_routes_of_the_gate(page: str) -> None:
    """An address with its method in a page's inline code is one that the gate registers."""
    told = [span for span in markdown.code_spans(repository.read(page)) if _ROUTE.fullmatch(span)]
    assert [
        span for span in told if not any(route.fullmatch(span) for route in ROUTES) and not asks(span)
    ] == []


@pytest.mark.parametrize("page", [name for name in PAGES if name.startswith("docs/")])
def test_every_page_can_be_reached(page: str) -> None:
    """The README, or a page it leads to, links to each page of docs/."""
    seen, waiting = set[str](), ["README.md"]
    while waiting:
        here = waiting.pop()
        if here in seen or here not in PAGES:
            continue
        seen.add(here)
        folder = here.rpartition("/")[0]
        for link in markdown.links(repository.read(here)):
            path = link.target.partition("#")[0]
            waiting.append(re.sub(r"^[^/]+/\.\./", "", f"{folder}/{path}".lstrip("/")))
    assert page in seen


def test_no_text_names_a_place_of_one_machine() -> None:
    """No path of somebody's machine and no package registry's host stands in a tracked text; uv.lock needs the latter."""
    found = []
    for name in repository.files():
        if name == "uv.lock":
            continue
        try:
            text = repository.read(name)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found += [
                f"{name}:{number}: {hit[0]}"
                for pattern in (MACHINE, REGISTRY)
                for hit in pattern.finditer(line)
            ]
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_shell_commands_in_docs_are_shell(page: str) -> None:
    """Every block of commands is what a shell can read: no quote or bracket is lost."""
    for block in _SHELL.findall(repository.read(page)):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
