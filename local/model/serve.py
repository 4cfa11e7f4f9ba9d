"""Runs the real Azure ML inference server (what `azmlinfsrv` runs) over the local model, on loopback.

Start it with `python -m local.model.serve --port PORT --models FOLDER`; the model is trained into FOLDER
first.
"""

import argparse
import os
import sys
from pathlib import Path

from azureml_inference_server_http import amlserver

from local.model.train import train


def main() -> None:
    """Train, then serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True)
    parser.add_argument("--models", required=True, type=Path)
    chosen = parser.parse_args()
    # Training before the server forks its worker spares the worker the import of scikit-learn.
    train(chosen.models)
    script = Path(__file__).with_name("score.py")
    sys.argv = [
        "azmlinfsrv",
        "--entry_script",
        str(script),
        "--model_dir",
        str(chosen.models),
        "--port",
        chosen.port,
    ]
    # The server has no option for its address and would listen on every interface.
    amlserver.DEFAULT_HOST = "127.0.0.1"
    # gunicorn would put a control socket into the home folder.
    os.environ["GUNICORN_CMD_ARGS"] = "--no-control-socket"
    amlserver.run()


if __name__ == "__main__":
    main()
