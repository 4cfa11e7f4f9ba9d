"""Runs the real llama.cpp HTTP server (what `llama-server` runs) over the local model, on loopback.

Start it with `python -m local.llama.serve --port PORT --model FILE`; the model is made in FILE first. Serves
`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/responses`, and `/health` once it is ready.
"""

import argparse
import signal
from pathlib import Path

import xllamacpp  # type: ignore[import-untyped]  # ships no types

from local.llama.make import CONTEXT, make

_AT_ONCE = 4
_CONNECTIONS = 32
_MOST_TOKENS = 1024


def main() -> None:
    """Make the model, then serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--model", required=True, type=Path)
    chosen = parser.parse_args()
    make(chosen.model)
    server = xllamacpp.Server(_parameters(chosen.model, chosen.port))
    print(f"listening on {server.listening_address}", flush=True)
    # The server's threads do the work; a signal's default action ends the process with them.
    signal.pause()


def _parameters(model: Path, port: int) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {"groupgate-local"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.verbosity = 1
    # Embeddings beside answers: in this build the switch adds the one and keeps the other.
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.n_threads_http = _CONNECTIONS
    parameters.n_parallel = _AT_ONCE
    parameters.n_ctx = _AT_ONCE * CONTEXT
    # Without a bound of its own a request ends all the same.
    parameters.n_predict = _MOST_TOKENS
    # What is computed again is computed alike; what is taken from a cache may differ in the last bit.
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.warmup = False
    return parameters


if __name__ == "__main__":
    main()
