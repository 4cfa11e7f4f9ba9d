"""The people, apps and groups of the local tenant, in memory; stands in for Microsoft Entra ID's directory.

Not verified against the real service: how long a change of membership takes to be seen (here: at once).
"""

from collections import defaultdict
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

TENANT = "8c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"
HOME_OF_GUESTS = "99999999-1111-4222-8333-444444444444"
GATE_CLIENT = "3f2b0c1d-5a64-4e0a-9b43-7d7f2f6c1a10"
"""Client id of the app registration that guards the gate: the audience of callers' tokens."""

FRAUD_ANALYSTS = "6f1b2c3d-0000-4000-8000-000000000001"
ML_ENGINEERS = "6f1b2c3d-0000-4000-8000-000000000002"
CONTRACTORS = "6f1b2c3d-0000-4000-8000-000000000003"
MARKETING = "6f1b2c3d-0000-4000-8000-000000000004"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user object; a guest's home is another tenant."""

    name: str
    oid: str
    guest: bool = False

    @property
    def upn(self) -> str:
        """The sign-in name."""
        return f"{self.name}@contoso.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A service principal, here always a managed identity; `client` is its application id."""

    name: str
    oid: str
    client: str


class Directory:
    """People and apps by name or object id, and who is in which group (a group may be in a group)."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.apps: dict[str, App] = {}
        self.groups: dict[str, str] = {}
        """Group ids by name."""
        self._direct: defaultdict[str, set[str]] = defaultdict(set)

    def add_person(self, name: str, *, guest: bool = False) -> Person:
        """Make a user."""
        return self.people.setdefault(name, Person(name=name, oid=made_up_id(f"user/{name}"), guest=guest))

    def add_app(self, name: str) -> App:
        """Make a managed identity."""
        app = App(name=name, oid=made_up_id(f"app/{name}"), client=made_up_id(f"client/{name}"))
        return self.apps.setdefault(name, app)

    def add_group(self, name: str, group_id: str = "") -> str:
        """Make a group and give its id."""
        return self.groups.setdefault(name, group_id or made_up_id(f"group/{name}"))

    def everybody(self) -> list[Person | App]:
        """Give all people and apps."""
        return [*self.people.values(), *self.apps.values()]

    def find(self, who: str) -> Person | App | None:
        """Find a person or an app by name or object id."""
        return next((one for one in self.everybody() if who in (one.name, one.oid)), None)

    def add(self, group: str, who: str) -> None:
        """Put a person, app or group into a group, all by name; raise `KeyError` for a name nobody has."""
        self._direct[self._member_id(who)].add(self.groups[group])

    def remove(self, group: str, who: str) -> None:
        """Take a member out of a group; raise `KeyError` for a name nobody has."""
        self._direct[self._member_id(who)].discard(self.groups[group])

    def groups_of(self, oid: str) -> list[str]:
        """Give the ids of all groups that hold `oid`, through other groups too, in order."""
        found: set[str] = set()
        waiting = [oid]
        while waiting:
            more = self._direct[waiting.pop()] - found
            found |= more
            waiting += more
        return sorted(found)

    def _member_id(self, who: str) -> str:
        found = self.find(who)
        return found.oid if found else self.groups[who]


def made_up_id(of: str) -> str:
    """Give the same version 4 looking id for the same words on every machine."""
    digits = uuid5(NAMESPACE_URL, f"groupgate:{of}").hex
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def contoso() -> Directory:
    """Make the tenant of the story: alice, bob, carol, dave, erin, frank, the gate's own identity and `nightly`."""
    directory = Directory()
    ids = {"fraud-analysts": FRAUD_ANALYSTS, "ml-engineers": ML_ENGINEERS}
    for name, group_id in (ids | {"contractors": CONTRACTORS, "marketing": MARKETING}).items():
        directory.add_group(name, group_id)
    for name in ("alice", "bob", "carol", "erin", "frank"):
        directory.add_person(name)
    directory.add_person("dave", guest=True)
    directory.add_app("gate")
    directory.add_app("nightly")
    for name in ("alice", "carol", "dave", "erin", "nightly"):
        directory.add("fraud-analysts", name)
    directory.add("contractors", "erin")
    directory.add("ml-engineers", "frank")
    directory.add("marketing", "bob")
    for number in range(1, 250):  # With Fraud Analysts 250 groups: more than a token can carry.
        directory.add_group(f"team-{number:03}")
        directory.add(f"team-{number:03}", "carol")
    return directory
