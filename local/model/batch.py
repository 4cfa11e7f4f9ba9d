"""Scores CSV files with the local model: what runs in a batch job.

`python -m local.model.batch` trains the model, then reads one JSON object a line from its input (`inputs`: files,
`output`: a file) and answers each with one line (`error`, empty when all went well) until its input ends.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from local.model.train import fitted

_COLUMNS = 4


def score(model: Any, inputs: Sequence[Path], output: Path) -> None:
    """Write `file,row,prediction` for each row of `inputs`; raise `ValueError` for a row that is no iris."""
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.unfinished")
    with unfinished.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "row", "prediction"))
        for file in inputs:
            rows = list(_rows(file))
            predictions = model.predict(rows) if rows else ()
            writer.writerows((file.name, number, name) for number, name in enumerate(predictions))
    unfinished.replace(output)


def _rows(file: Path) -> Iterator[list[float]]:
    with file.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines)):
            try:
                values = [float(value) for value in row]
            except ValueError:
                if number == 0:  # its header
                    continue
                raise ValueError(f"{file.name}, line {number + 1}: not a number") from None
            if len(values) != _COLUMNS:
                raise ValueError(f"{file.name}, line {number + 1}: not {_COLUMNS} columns")
            yield values


def main() -> None:
    """Train, then score until the input ends."""
    model = fitted()
    for line in sys.stdin:
        question = json.loads(line)
        error = ""
        try:
            score(model, [Path(file) for file in question["inputs"]], Path(question["output"]))
        except (ValueError, OSError) as fault:
            error = str(fault)
        print(json.dumps({"error": error}), flush=True)


if __name__ == "__main__":
    main()
