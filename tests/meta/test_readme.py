"""What the README shows as output is what comes."""

from __future__ import annotations

import pytest

from local.story import STEPS
from shared.cli.main import main
from tests.meta import repository


def test_the_readme_shows_the_story_as_it_is_played() -> None:
    """Each step of `make demo` stands there with its title, what is expected, and that it came; so does their number."""
    titles = max(len(title) for title, _, _ in STEPS)
    expectations = max(len(expected) for _, expected, _ in STEPS)
    steps = [
        f"{number:2}  ok    {title:{titles}}  {expected:{expectations}}  {expected}"
        for number, (title, expected, _) in enumerate(STEPS, 1)
    ]
    assert "\n".join(steps) in repository.read("README.md")
    assert f" {len(STEPS)} steps " in repository.read("README.md")


def test_the_readme_shows_what_check_says_of_the_sample(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`groupgate check` of the sample policy prints the lines in the README, digest included."""
    monkeypatch.chdir(repository.ROOT)
    assert main(["check", "policy.sample.toml"]) == 0
    assert capsys.readouterr().out.replace("policy.sample.toml", "policy.toml") in repository.read(
        "README.md"
    )
