"""Trains the local model: which of three irises a flower is, from the data set that scikit-learn ships."""

from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def train(models: Path) -> None:
    """Write the model where Azure ML mounts one: `models/NAME/VERSION/`."""
    iris = load_iris()
    classifier = LogisticRegression(max_iter=500).fit(iris.data, iris.target_names[iris.target])
    folder = models / "iris" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(classifier, folder / "model.joblib")
