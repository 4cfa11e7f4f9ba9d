"""A real language model for the local stack: made on the spot, served by the real llama.cpp HTTP server."""

import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from local.children import Child, child


def language_model(folder: Path, port: int) -> AbstractAsyncContextManager[Child]:
    """Make the model in `folder` and serve it with the real llama.cpp server; wait for it with `ready()`."""
    # A file for each server: one that is mapped into another's memory must not be written anew.
    model = folder / f"language-model-{port}.gguf"
    command = [sys.executable, "-m", "local.llama.serve", "--port", str(port), "--model", str(model)]
    return child(
        "the language model",
        command,
        env=os.environ,
        log=folder / f"language-model-{port}.log",
        port=port,
        health="/health",
    )
