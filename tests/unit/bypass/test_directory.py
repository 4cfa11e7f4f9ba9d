"""Groups of groups, expanded and looked up: the same chains from both ends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bypass.directory import Directory, directory

NAMES = ("a", "b", "c", "d", "e", "f")
graphs = st.dictionaries(st.sampled_from(NAMES[:4]), st.lists(st.sampled_from(NAMES), max_size=4), max_size=4)


def made(members: dict[str, list[str]], *, unlisted: tuple[str, ...] = ()) -> Directory:
    principals = {name: {"type": "user"} for name in NAMES if name not in members}
    principals |= {name: {"type": "group"} for name in (*members, *unlisted)}
    return directory({"principals": principals, "groupMembers": members}, frozenset())


def test_names_and_types_are_told() -> None:
    """An id is known by its type and display name, in any case, or not at all."""
    found = directory(
        {
            "principals": {
                "ALICE": {"type": "user", "displayName": "Alice A."},
                "app": {"type": "servicePrincipal"},
            },
            "groupMembers": {"G": ["alice"]},
            "groupOwners": {"g": ["Bob"], "G": ["alice"]},
        },
        frozenset(),
    )
    assert (found.type_of("alice"), found.name_of("alice")) == ("user", "Alice A.")
    assert (found.type_of("app"), found.name_of("app")) == ("servicePrincipal", None)
    assert (found.type_of("g"), found.type_of("nobody"), found.name_of("nobody")) == (
        "group",
        "unknown",
        None,
    )
    assert found.owners == {"g": ("alice", "bob")}


def test_the_groups_within_a_group_are_told_with_their_chains() -> None:
    """Whoever owns one of them can add members, and so grant."""
    found = made({"a": ["b", "e"], "b": ["c", "a"], "c": ["f"]})
    assert [(inner.group, inner.via) for inner in found.nested("a")] == [
        ("a", ("a",)),
        ("b", ("a", "b")),
        ("c", ("a", "b", "c")),
    ]


def test_a_group_that_is_not_listed_has_itself_within_and_stands_for_its_members() -> None:
    """Nothing is known of it, so nothing is left out."""
    found = made({"a": ["z"]}, unlisted=("z",))
    assert list(found.expand("z")) == [("z", ())]
    assert list(found.expand("a")) == [("z", ("a",))]
    assert list(found.expand("never-heard-of")) == [("never-heard-of", ())]


def test_many_groups_are_spread_once() -> None:
    """However many of the groups share members, each member is told once, by the shortest chain of all."""
    found = made({"a": ["b"], "b": ["c"], "c": ["e", "f"], "d": ["f"]})
    assert dict(found.spread(["a", "d"], set())) == {"f": ("d",), "e": ("a", "b", "c")}
    seen = {"f"}
    assert list(found.spread(["d", "c"], seen)) == [("e", ("c",))]
    assert seen == {"c", "d", "e", "f"}


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_expanding_and_looking_up_agree(graph: dict[str, list[str]]) -> None:
    """Whoever is found in a group finds that group, by the same chain; cycles or not."""
    found = made(graph)
    down = {(principal, group): via for group in graph for principal, via in found.expand(group) if via}
    up = {
        (principal, group): via
        for principal in NAMES
        if principal not in graph
        for group, via in found.groups_of(principal).items()
    }
    assert down == up


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_every_chain_is_one(graph: dict[str, list[str]]) -> None:
    """Each group in a chain lists the next one, and the last lists the principal."""
    found = made(graph)
    for group in graph:
        for principal, via in found.expand(group):
            assert via[0] == group
            for outer, inner in zip(via, (*via[1:], principal), strict=True):
                assert inner in graph[outer]


def test_groups_may_be_nested_very_deep() -> None:
    """No depth is too deep: the walk does not call itself."""
    depth = 1_500
    found = made({f"g{at:04}": [f"g{at + 1:04}"] for at in range(depth)} | {f"g{depth:04}": ["a"]})
    [(principal, via)] = found.expand("g0000")
    assert (principal, len(via)) == ("a", depth + 1)
    assert found.groups_of("a")["g0000"] == via
