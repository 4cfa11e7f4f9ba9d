"""The scoring script that the Azure ML inference server runs: `init` once, `run` for each request."""

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from inference_schema.parameter_types import (
    numpy_parameter_type,
    standard_py_parameter_type,
)
from inference_schema.schema_decorators import (
    input_schema,
    output_schema,
)

_INPUT = numpy_parameter_type.NumpyParameterType(np.array([[5.1, 3.5, 1.4, 0.2]]), enforce_shape=False)
_OUTPUT = standard_py_parameter_type.StandardPythonParameterType({"prediction": ["setosa"]})
_model: Any = None


def init() -> None:
    """Load the model."""
    global _model  # noqa: PLW0603 - the inference server's contract: init() sets what run() reads
    _model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"], "iris", "1", "model.joblib"))


@input_schema("data", _INPUT)  # type: ignore[untyped-decorator]  # ships no types
@output_schema(_OUTPUT)  # type: ignore[untyped-decorator]  # ships no types
def run(data: Any) -> dict[str, list[str]]:
    """Name the flower of each row."""
    return {"prediction": [str(name) for name in _model.predict(data)]}
