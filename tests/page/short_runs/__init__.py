"""Results of one run of each study, cut to a few rows: every artifact that the page reads, as one JSON file per study.

Tables are columns and rows; of arrays the type and the shape are kept, and even steps from 0 to 1 stand for the values.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

STUDIES = ("genomic", "protein", "basecaller")


def write_short_run(study, results):
    """Write a study's artifacts below a folder."""
    document = json.loads((Path(__file__).parent / f"{study}.json").read_text())
    for name, content in document.items():
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            pd.DataFrame(content["rows"], columns=content["columns"]).to_csv(path, index=False)
        elif path.suffix == ".npz":
            np.savez(path, **{key: stand_in(*each) for key, each in content["arrays"].items()})
        else:
            path.write_text(json.dumps(content))


def stand_in(kind, shape):
    """An array of this type and shape."""
    if np.dtype(kind).kind == "U":
        return np.full(shape, "text")
    if np.dtype(kind).kind in "iub":
        return np.zeros(shape, dtype=kind)
    return np.linspace(0, 1, int(np.prod(shape))).reshape(shape).astype(kind)
