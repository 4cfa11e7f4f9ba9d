"""Trains the local model: which of three irises a flower is, from the data set that scikit-learn ships."""

from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def fitted() -> Any:
    """Give the trained model, a scikit-learn classifier of four columns in cm."""
    iris = load_iris()
    return LogisticRegression(max_iter=500).fit(iris.data, iris.target_names[iris.target])


def train(models: Path) -> None:
    """Write the model where Azure ML mounts one: `models/NAME/VERSION/`."""
    folder = models / "iris" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(fitted(), folder / "model.joblib")
