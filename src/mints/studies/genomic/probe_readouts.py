"""A task's probe, opened as the figure that patches and latents are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mints.analysis.patching import ProbeLogit
from mints.errors import UsageError
from mints.pipeline.run import Run


def probe_readout(run: Run, task: str, sites: Sequence[str] = ()) -> ProbeLogit:
    """The task's probe at the layer that validation chose; where that ends below a site, the next one not below any.

    Raises UsageError where no layer that high is probed.
    """
    probe = run.load(f"probes/{task}.npz")
    layer = chosen = int(probe["chosen_layer"])
    highest = max(sites, key=layer_of, default=None)
    if highest is not None and layer_of(highest) > chosen:
        probed = sorted(int(name.split("_")[1]) for name in probe if name.endswith("_weights"))
        enough = [layer for layer in probed if layer >= layer_of(highest)]
        if not enough:
            raise UsageError(
                f"no probed layer lies at or above {highest}: add one to probe_layers, or decompose lower sites alone"
            )
        layer = enough[0]
        run.warn(f"validation chose the probe of {task} at layer {chosen}, below {highest}: layer {layer}'s is used")
    weights = torch.from_numpy(probe[f"layer_{layer}_weights"].astype(np.float32))
    return ProbeLogit(layer, weights, float(probe[f"layer_{layer}_bias"]))


def layer_of(site: str) -> int:
    """Layer that a site lies in."""
    return int(site.split(".")[1])
