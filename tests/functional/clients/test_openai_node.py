"""The `openai` package for Node, unchanged: its base URL and a token are all that it is told."""

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.clients.around import ASSISTANT, DEPLOYMENT, MODELS, OTHERS, Door
from tests.functional.differences import FIRST_PIECE, Mode
from tests.functional.gates import REPOSITORY

SOURCE = Path(__file__).parent / "node"
PATIENCE = 30.0
"""Seconds for an answer; reached only by a failing test."""
_INSTALLATION = 120.0
_NO_REGISTRY = ("ECONNREFUSED", "ECONNRESET", "EAI_AGAIN", "ENOTFOUND", "ENETUNREACH", "ETIMEDOUT")

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def installed() -> Path:
    """The script with the package beside it, as the lock file says; kept until that changes."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    files = sorted(SOURCE.iterdir())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = REPOSITORY / ".pytest_cache" / f"node-{digest}"
    if not (folder / "ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
        npm = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALLATION, check=False
        )
        if found := [code for code in _NO_REGISTRY if code in npm.stderr]:
            pytest.skip(f"npm cannot reach its registry: {found[0]}")
        assert npm.returncode == 0, npm.stderr
        (folder / "ready").touch()
    return folder


@pytest.fixture(scope="module")
def process(installed: Path) -> Iterator[subprocess.Popen[str]]:
    """One run of the script for all tests."""
    command = ["node", "ask.mjs"]
    with subprocess.Popen(
        command, cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


@pytest.fixture(params=["OpenAI", "AzureOpenAI"])
def kind(request: pytest.FixtureRequest) -> str:
    """Both clients."""
    return str(request.param)


@pytest.fixture
def ask(process: subprocess.Popen[str], kind: str, door: Door) -> Ask:
    """Let the package ask something; give what the script says of it."""

    def asking(act: str, token: str, model: str = ASSISTANT, **more: Any) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"act": act, "kind": kind, "url": door.url, "token": token, "model": model} | more
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        guard.cancel()
        said: dict[str, Any] = json.loads(line)
        return said

    return asking


def test_a_chat_is_the_same_whole_and_in_a_stream(ask: Ask, door: Door) -> None:
    """The pieces of a stream are those of the whole answer."""
    whole = ask("chat", door.caller())
    streamed = ask("stream", door.caller())
    assert whole["text"]
    assert whole == {"text": "".join(streamed["pieces"]), "tokens": 8}
    assert len(streamed["pieces"]) > 8
    assert streamed["tokens"] is None


def test_usage_comes_in_a_stream_to_who_asks_for_it(ask: Ask, door: Door) -> None:
    """Also where the gate asks for it by itself, because the rule limits tokens."""
    assert ask("stream", door.caller(), "metered", usage=True)["tokens"] == 8
    assert ask("stream", door.caller(), "metered")["tokens"] is None


def test_embeddings(ask: Ask, door: Door) -> None:
    """A vector of numbers for each text."""
    assert ask("embeddings", door.caller()) == {"vectors": [True, True]}


def test_a_response_is_kept_continued_and_deleted(ask: Ask, door: Door) -> None:
    """Whole and in a stream; once deleted it is not found."""
    came = ask("responses", door.caller())
    assert came["text"]
    assert came["again"] == came["text"]
    assert (came["types"][0], came["types"][-1]) == ("response.created", "response.completed")
    assert (came["error"], came["code"]) == ("NotFoundError", "not-found")


def test_models_are_those_that_the_caller_may_use(ask: Ask, door: Door) -> None:
    """By the names that the policy gives them."""
    assert ask("models", door.caller()) == {"models": list(MODELS)}


def test_images_speech_and_transcriptions(ask: Ask, door: Door) -> None:
    """JSON, a sound, and a form."""
    assert ask("media", door.caller()) == {"image": True, "sound": "RIFF", "heard": "A file of 29 bytes."}


def test_what_the_package_sends_is_what_arrives(ask: Ask, door: Door) -> None:
    """Byte for byte where the names are alike (threat T07)."""
    sent = [
        text
        for act in ("chat", "embeddings")
        for text in ask(act, door.caller(), DEPLOYMENT, note=True)["sent"]
    ]
    assert [seen.body.decode() for seen in door.sent] == sent


@pytest.mark.parametrize(
    ("act", "model", "error", "status", "code", "sent"),
    [
        ("chat", OTHERS, "PermissionDeniedError", 403, "forbidden", 0),
        ("files", "", "NotFoundError", 404, "not-found", 0),
        ("refused", ASSISTANT, "BadRequestError", 400, "invalid-request", 0),
        ("chat", "locked", "InternalServerError", 502, "upstream-auth-failed", 1),
        ("chat", "gone", "InternalServerError", 502, "upstream-not-found", 1),
    ],
    ids=["403", "404", "400", "502 refused", "502 not there"],
)
def test_refusals(
    ask: Ask, door: Door, act: str, model: str, error: str, status: int, code: str, sent: int
) -> None:
    """The package's own classes, with the gate's code and words, after one call."""
    came = ask(act, door.caller(), model)
    assert (came["error"], came["status"], came["code"]) == (error, status, code)
    assert came["message"].startswith(f"{status} ")
    assert len(came["message"]) > 20
    assert (door.calls, len(door.sent)) == (1, sent)


@pytest.mark.parametrize("kind", ["OpenAI", "AzureOpenAI", "AzureOpenAI with a key"], indirect=True)
def test_not_signed_in(ask: Ask, door: Door) -> None:
    """401 for a token that is none, and for a key (threat T06): one call."""
    came = ask("chat", "not-a-token")
    assert (came["error"], came["status"]) == ("AuthenticationError", 401)
    assert (door.calls, door.sent) == (1, [])


def test_nobody_is_named(ask: Ask, door: Door) -> None:
    """The gate's own 401, with its code: one call."""
    door.front.switches.inject = False
    came = ask("chat", door.caller())
    assert (came["error"], came["code"]) == ("AuthenticationError", "authentication-required")
    assert (door.calls, door.sent) == (1, [])


def test_the_model_fails(ask: Ask, door: Door) -> None:
    """424, which has no class of its own: one call."""
    door.resource.faults.set(status=424, body="no JSON")
    came = ask("chat", door.caller())
    assert (came["error"], came["status"], came["code"]) == ("APIError", 424, "model-error")
    assert (door.calls, len(door.sent)) == (1, 1)


def test_a_limit_that_lasts(ask: Ask, door: Door) -> None:
    """429 with an hour to wait: the package does not try."""
    token = door.caller()
    assert ask("chat", token, "hourly")["text"]
    came = ask("chat", token, "hourly")
    assert (came["error"], came["status"], came["code"]) == ("RateLimitError", 429, "rate-limited")
    assert (door.calls, len(door.sent)) == (2, 1)


def test_the_service_is_busy(ask: Ask, door: Door) -> None:
    """Its 429 comes through with the wait that it asks for, which the package keeps before its second call."""
    door.resource.faults.set(status=429, body="{}", headers={"Retry-After": "1"}, times=1)
    started = time.monotonic()
    assert ask("chat", door.caller())["text"]
    assert time.monotonic() - started >= 1
    assert (door.calls, len(door.sent)) == (2, 2)


def test_a_stream_that_is_cut(ask: Ask, door: Door, mode: Mode) -> None:
    """The package raises what the last event tells; hosted classic nothing has gone out, and it tries again."""
    door.resource.faults.set(cut_after=3, pace=0.05, **({} if FIRST_PIECE.of(mode) else {"times": 1}))
    came = ask("stream", door.caller())
    assert came.get("code") == ("upstream-unreachable" if FIRST_PIECE.of(mode) else None)
    assert len(came["pieces"]) == 3 if FIRST_PIECE.of(mode) else len(came["pieces"]) > 8
