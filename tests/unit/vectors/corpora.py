"""Where the public test vectors lie, beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).resolve().parents[3] / "../shared/vectors"

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the public test vectors are not beside the repository (../shared/vectors)"
)


def files(folder: str) -> list[Path]:
    """Return the JSON files of one corpus, none where the corpora are absent."""
    return sorted((VECTORS / folder).glob("*.json"))
