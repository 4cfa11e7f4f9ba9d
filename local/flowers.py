"""Folders of CSV files for batch jobs to score: what was measured of some irises, four columns in cm."""

from pathlib import Path

from local.stackpolicy import OUTPUTS

_HEADER = "sepal length,sepal width,petal length,petal width"
_DAYS = {
    "monday.csv": ["5.1,3.5,1.4,0.2", "4.9,3.0,1.4,0.2", "4.7,3.2,1.3,0.2"],
    "tuesday.csv": ["7.0,3.2,4.7,1.4", "6.4,3.2,4.5,1.5"],
    "wednesday.csv": ["6.3,3.3,6.0,2.5", "5.8,2.7,5.1,1.9", "7.1,3.0,5.9,2.1"],
}


def write(folder: Path) -> None:
    """Write the files into `folder`, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in _DAYS.items():
        (folder / name).write_text("\n".join([_HEADER, *rows, ""]))


def job(folder: str) -> dict[str, object]:
    """Give the body of a job that scores the folder at this address."""
    inputs = {"flowers": {"JobInputType": "UriFolder", "Uri": folder}}
    outputs = {"score": {"JobOutputType": "UriFile", "Uri": f"{OUTPUTS}predictions.csv"}}
    return {"properties": {"InputData": inputs, "OutputData": outputs}}
