"""Telling the end of a job: signed as Standard Webhooks has it, once and plainly, and nothing that is nobody's business."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from shared.job import Progress
from shared.jobs.notify import DEADLINE, Notifier, NotTold, secret_for, signature
from shared.ports import TransportFault
from tests.fakes import ALICE, TENANT, FakeAnswer, FakeClock, FakeTransport
from tests.jobfakes import NOW, SECRET, an_intent

HOOK = "https://hooks.contoso.com/jobs"
DONE = Progress(
    status="Completed",
    upstream="batchjob-1",
    outputs={"score": {"uri": "https://contosodata.blob.core.windows.net/scores/1"}},
    ended=True,
)


class Receiver:
    """What a receiver gets."""

    def __init__(self, *script: Any, allow_http: bool = False) -> None:
        self.clock = FakeClock()
        self.transport = FakeTransport(*(script or (FakeAnswer(200),)))
        self.notifier = Notifier(SECRET, transport=self.transport, clock=self.clock, allow_http=allow_http)
        self.intent = an_intent(notify=HOOK)

    async def tell(self, url: str = HOOK, progress: Progress = DONE) -> dict[str, Any]:
        """Return what was sent."""
        await self.notifier.tell(url, self.intent, progress, ended=NOW + 61.5)
        return self.transport.sent[-1]


def verify(secret: str, sent: dict[str, Any]) -> bool:
    """Check a message as receivers' libraries do, from the words of the specification alone."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = sent["headers"]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sent["body"]
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(
        version == "v1" and hmac.compare_digest(given, expected)
        for version, _, given in (one.partition(",") for one in headers["webhook-signature"].split(" "))
    )


def test_the_signature_is_the_specifications() -> None:
    """The test vector of the reference libraries (Standard Webhooks, libraries/python)."""
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_receiver_can_verify_the_message() -> None:
    """With the secret of its host, and with no other's."""
    sent = await Receiver().tell()
    assert verify(secret_for(SECRET, "hooks.contoso.com"), sent)
    assert not verify(secret_for(SECRET, "hooks.example.org"), sent)
    assert not verify(secret_for(SECRET + "!", "hooks.contoso.com"), sent)
    sent["body"] = sent["body"].replace(b"Completed", b"Cancelled")
    assert not verify(secret_for(SECRET, "hooks.contoso.com"), sent)


def test_a_receivers_secret_is_as_long_as_the_specification_wants() -> None:
    """`whsec_` and base64 of 24 to 64 bytes; one for each host, from which the gate's own cannot be read."""
    secret = secret_for(SECRET, "hooks.contoso.com")
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    assert secret != secret_for(SECRET, "hooks.contoso.com.example.org")
    assert SECRET not in secret


async def test_the_message_says_which_job_ended_and_how() -> None:
    """Type, time and data, as the specification recommends."""
    receiver = Receiver()
    sent = await receiver.tell(progress=Progress(status="Failed", code="job-failed"))
    assert json.loads(sent["body"]) == {
        "type": "job.ended",
        "timestamp": "2025-06-15T15:07:41.500000+00:00",
        "data": {
            "job": receiver.intent.job,
            "endpoint": "churn",
            "status": "Failed",
            "code": "job-failed",
            "accepted": "2025-06-15T15:06:40+00:00",
            "ended": "2025-06-15T15:07:41.500000+00:00",
        },
    }
    assert sent["headers"]["content-type"] == "application/json"


async def test_the_message_tells_of_no_person_and_no_data() -> None:
    """Whoever reads it learns neither who owns the job nor where its data lies."""
    sent = await Receiver().tell()
    for private in (ALICE, TENANT, "blob.core", "batchjob-1", "authorization", SECRET):
        assert private not in sent["body"].decode().lower()
        assert private not in json.dumps(sent["headers"]).lower()


async def test_a_repeated_message_has_the_same_id() -> None:
    """A receiver tells by it what it has had; the time is that of each try, as the specification wants."""
    receiver = Receiver(FakeAnswer(500), FakeAnswer(200))
    with pytest.raises(NotTold):
        await receiver.tell()
    receiver.clock.move(300)
    await receiver.tell()
    first, second = (sent["headers"] for sent in receiver.transport.sent)
    assert first["webhook-id"] == second["webhook-id"]
    assert "." not in first["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 300


async def test_a_message_has_a_deadline() -> None:
    """A receiver that never answers holds nothing up for longer."""
    receiver = Receiver()
    sent = await receiver.tell()
    assert sent["deadline"] == receiver.clock.monotonic() + DEADLINE


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_success_is_one(status: int) -> None:
    """The receiver's body is not read, and the connection given back."""
    answer = FakeAnswer(status)
    await Receiver(answer).tell()
    assert answer.closed == 1
    assert not answer.read_to_end


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_everything_else_is_a_failure(status: int) -> None:
    """T17: a redirect too: it is not followed, and the signature is for this receiver alone."""
    answer = FakeAnswer(status, headers={"location": "https://169.254.169.254/"})
    receiver = Receiver(answer)
    with pytest.raises(NotTold, match=f"^{status}$"):
        await receiver.tell()
    assert answer.closed == 1
    assert len(receiver.transport.sent) == 1


@pytest.mark.parametrize("what", ["unreachable", "timeout", "truncated", "protocol"])
async def test_a_receiver_that_cannot_be_reached_is_a_failure(what: str) -> None:
    """The message is the fault's word, and no address."""
    with pytest.raises(NotTold, match=f"^{what}$"):
        await Receiver(TransportFault(what, sent=True)).tell()


@pytest.mark.parametrize(
    ("url", "allow_http", "told"),
    [
        ("http://hooks.contoso.com/jobs", True, False),
        ("http://127.0.0.1:7200/jobs", False, False),
        ("http://127.0.0.1:7200/jobs", True, True),
        ("file:///etc/passwd", True, False),
        ("hooks.contoso.com", True, False),
        ("", True, False),
    ],
)
async def test_only_receivers_with_tls_are_told(url: str, allow_http: bool, told: bool) -> None:
    """Without TLS this machine alone, where the setting lets it."""
    receiver = Receiver(allow_http=allow_http)
    if told:
        await receiver.tell(url)
    else:
        with pytest.raises(NotTold, match=r"^address$"):
            await receiver.tell(url)
    assert bool(receiver.transport.sent) == told
