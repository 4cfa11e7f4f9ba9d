"""What a collection needs of whoever asks: a token for each service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Tokens = Callable[[str], str]
"""Returns a token for a scope; raises SignInFault."""


class SignInFault(Exception):
    """There is no token; `why` tells people what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why: Final = why
