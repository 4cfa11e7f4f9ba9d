"""The grammar of role assignment conditions, version 2.0 (Azure RBAC, "Azure role assignment condition format and syntax").

Only the form is read here: what is well formed but beyond deciding becomes Beyond, what is not understood at all raises
Unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NoReturn

import msgspec

from shared.bypass.spelling import fold

MAX_DEPTH: Final = 60
"""Parentheses and negations around one expression: far more than anybody writes."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<attribute>@\w+\[[^\]]*\])
      | (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<sign>&&|\|\||[(){},!])
      | (?P<word>[\w.:+-]+)
    )""",
    re.VERBOSE,
)
_END: Final = ("end", "")
_LOGIC: Final = {"and": "and", "&&": "and", "or": "or", "||": "or"}
_COMPARISON: Final = re.compile(
    r"(?:for(?P<left>any|all)of(?P<right>any|all)values:)?(?:string|guid)(?P<negated>not)?equals(?P<case>ignorecase)?"
)
_FUNCTION: Final = re.compile(
    r"(?:for(?:any|all)of(?:any|all)values:)?(?:string|guid|numeric|datetime|time|bool|ip)\w+"
)

Token = tuple[str, str]


class Unreadable(Exception):
    """The text is not a condition as this module understands them."""


class Beyond(msgspec.Struct, frozen=True):
    """Something well formed that nothing here can decide."""


class ActionMatches(msgspec.Struct, frozen=True):
    """Whether the action is one of those that a pattern stands for."""

    pattern: str


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the values of an attribute and those that are written stand in a relation."""

    attribute: str
    """Folded, with its source: `@request[...]`."""
    every_left: bool
    every_right: bool
    single: bool
    """Without a quantifier: one value is compared with one."""
    negated: bool
    sensitive: bool
    values: tuple[str, ...]


class Not(msgspec.Struct, frozen=True):
    """The opposite."""

    of: Expression


class All(msgspec.Struct, frozen=True):
    """Each of several."""

    of: tuple[Expression, ...]


class AnyOf(msgspec.Struct, frozen=True):
    """One of several at least."""

    of: tuple[Expression, ...]


Expression = Beyond | ActionMatches | Compare | Not | All | AnyOf


def expression(text: str) -> Expression:
    """Return what the condition `text` says; raise Unreadable."""
    parser = _Parser(text)
    found = parser.junction(MAX_DEPTH)
    if parser.token != _END:
        parser.give_up()
    return found


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise Unreadable(text[at : at + 20])
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


class _Parser:
    """Reads from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._rest: Final = _tokens(text)
        self.token: Token = _END
        self._step()

    def give_up(self) -> NoReturn:
        raise Unreadable(self.token[1] or "the end")

    def junction(self, depth: int) -> Expression:
        """Read terms that are joined; both ANDs and ORs without parentheses are not allowed, and could mean two things."""
        terms = [self._term(depth)]
        joined = self._logic()
        while (word := self._logic()) is not None:
            if word != joined:
                self.give_up()
            self._step()
            terms.append(self._term(depth))
        if len(terms) == 1:
            return terms[0]
        return All(tuple(terms)) if joined == "and" else AnyOf(tuple(terms))

    def _term(self, depth: int) -> Expression:
        if depth == 0:
            self.give_up()
        kind, text = self.token
        word = fold(text) if kind in {"word", "sign"} else ""
        if word in {"!", "not"}:
            self._step()
            return Not(self._term(depth - 1))
        if word == "(":
            self._step()
            found = self.junction(depth - 1)
            self._expect(")")
            return found
        if word in {"actionmatches", "suboperationmatches"}:
            self._step()
            values = self._braced()
            if len(values) != 1:
                self.give_up()
            return ActionMatches(values[0]) if word == "actionmatches" else Beyond()
        if word in {"exists", "notexists"}:
            self._step()
            self._attribute()
            return Beyond()
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._operand()
        kind, text = self.token
        operator = fold(text)
        if kind != "word" or not _FUNCTION.fullmatch(operator):
            self.give_up()
        self._step()
        right = self._operand()
        found = _COMPARISON.fullmatch(operator)
        if found is None or not isinstance(left, str) or isinstance(right, str):
            return Beyond()
        return Compare(
            attribute=left,
            every_left=found["left"] == "all",
            every_right=found["right"] == "all",
            single=found["left"] is None,
            negated=found["negated"] is not None,
            sensitive="string" in operator and found["case"] is None,
            values=right,
        )

    def _operand(self) -> str | tuple[str, ...]:
        """Return an attribute's folded name, or the values that are written."""
        kind, text = self.token
        if kind == "attribute":
            return self._attribute()
        if text == "{":
            return self._braced()
        return (self._literal(),)

    def _attribute(self) -> str:
        kind, text = self.token
        if kind != "attribute":
            self.give_up()
        self._step()
        return fold(text)

    def _braced(self) -> tuple[str, ...]:
        self._expect("{")
        values = [self._literal()]
        while self.token[1] == ",":
            self._step()
            values.append(self._literal())
        self._expect("}")
        return tuple(values)

    def _literal(self) -> str:
        kind, text = self.token
        if kind not in {"string", "word"}:
            self.give_up()
        self._step()
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "string" else text

    def _logic(self) -> str | None:
        kind, text = self.token
        return _LOGIC.get(fold(text)) if kind in {"word", "sign"} else None

    def _expect(self, sign: str) -> None:
        if self.token != ("sign", sign):
            self.give_up()
        self._step()

    def _step(self) -> None:
        self.token = next(self._rest, _END)
