"""The story of `make demo`: who asks, what must come, and how to ask it of a running stack."""

from collections.abc import Awaitable, Callable

import aiohttp

from local.azureml import DEPLOYMENT
from local.children import Child
from local.stack import Stack
from local.story.bypass import Bypass
from local.story.chats import Chats
from local.story.jobs import Jobs
from local.story.scoring import Scoring
from local.story.stage import STATED, Line, Stage


class Story:
    """The people of the story; every act of theirs gives in a few words what came, and the stage's details the rest."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession, unguarded: Child, line: Line) -> None:
        """Act on `stack`; `unguarded` is one more gate of it, with App Service Authentication off."""
        self.stage = Stage(stack, http, line)
        self.scoring = Scoring(self.stage, unguarded)
        self.chats = Chats(self.stage)
        self.jobs = Jobs(self.stage)
        self.bypass = Bypass(self.stage)


Step = tuple[str, str, Callable[[Story], Awaitable[str]]]
STEPS: list[Step] = [
    ("alice, in Fraud Analysts, scores", "200 setosa", lambda s: s.scoring.as_who("alice")),
    ("bob, in no such group", "403 not-member + help", lambda s: s.scoring.as_who("bob")),
    ("carol, a member with 250 groups", "200 setosa by Graph", lambda s: s.scoring.by_graph("carol")),
    ("dave, a member but a guest", "403 caller-kind", lambda s: s.scoring.as_who("dave")),
    ("erin, a member and a contractor", "403 deny-rule", lambda s: s.scoring.as_who("erin")),
    ("a managed identity in the group", "200 setosa by Graph", lambda s: s.scoring.by_graph("nightly")),
    ("forged principal headers, no token", "401", lambda s: s.scoring.forged_at_the_front()),
    (
        "straight to the gate, not signed in",
        "401 principal-missing",
        lambda s: s.scoring.straight_to_the_gate(),
    ),
    (
        "forged headers, authentication off",
        "503 gateway-misconfigured",
        lambda s: s.scoring.authentication_off(),
    ),
    ("alice straight to the model, no role", "403", lambda s: s.scoring.straight_to_the_model()),
    (
        "a deployment nobody was given",
        "403 deployment-not-allowed + help",
        lambda s: s.scoring.as_who("alice", **{DEPLOYMENT: "green"}),
    ),
    (
        "the model fails",
        "424 (the model said 500)",
        lambda s: s.scoring.as_who("alice", data=[[5.1, 3.5]]),
    ),
    ("bob is added to the group", f"200 setosa {STATED}", lambda s: s.scoring.join()),
    ("bob is removed again", f"403 not-member + help {STATED}", lambda s: s.scoring.leave()),
    ("frank, an ML engineer, chats", "200 word by word", lambda s: s.chats.as_it_comes()),
    ("bob, no engineer, chats", "403 not-member", lambda s: s.chats.chat("bob")),
    (
        "frank: one model, and another's",
        "200, 403 not-member",
        lambda s: s.chats.one_model_and_not_the_other(),
    ),
    (
        "a body that names two models",
        "400 invalid-request, 0 sent on to Azure",
        lambda s: s.chats.two_models_in_one_body(),
    ),
    (
        "frank's calls of the minute are used up",
        "429 rate-limited + Retry-After",
        lambda s: s.chats.too_many(),
    ),
    (
        "alice submits a folder of CSV files",
        "202, Completed: 8 rows, setosa first",
        lambda s: s.jobs.predictions(),
    ),
    (
        "a folder in somebody else's storage",
        "403 input-not-allowed, 0 sent on to Azure",
        lambda s: s.jobs.foreign_storage(),
    ),
    (
        "carol looks, lists, cancels at alice's job",
        "404, 0 listed, 404",
        lambda s: s.jobs.of_another_member(),
    ),
    ("grace, an auditor, looks and lists", "200 by auditors, listed", lambda s: s.jobs.of_an_auditor()),
    ("alice cancels that job of hers", "202, Canceled, Canceled at Azure ML", lambda s: s.jobs.cancelled()),
    ("the gate's host is killed in mid-job", "202, Completed, 1 job at Azure ML", lambda s: s.jobs.killed()),
    (
        "bob joins, submits, is removed meanwhile",
        f"403 not-member {STATED}, still 403",
        lambda s: s.jobs.membership_lost(),
    ),
    (
        "bypass: who gets around the gate",
        "exit 1 open: any key, 5 by a role",
        lambda s: s.bypass.found(),
    ),
    ("the fixes it prints are run", "exit 0 closed, 0 findings", lambda s: s.bypass.fixed()),
    (
        "bob is made Contributor higher up",
        "exit 1 open: bob, inherited Contributor",
        lambda s: s.bypass.opened_again(),
    ),
]
"""Who does what, what must come, and how it is done."""
