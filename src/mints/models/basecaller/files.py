"""Model folders as Bonito keeps them: `config.toml` beside `weights_N.tar`, with Bonito's names of the tensors.

A weights file is a torch archive, not a tape archive; nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mints.errors import MintsError
from mints.models.basecaller.model import Basecaller
from mints.models.basecaller.settings import BonitoConfig, read_config
from mints.models.families.base import Rule, tensor_faults
from mints.models.weights import read_weights

WEIGHTS = re.compile(r"weights_(\d+)\.tar")
ALPHA = "encoder.transformer_encoder.{layer}.deepnorm_alpha"
BLOCK = {
    "attn.qkv.weight": "self_attn.Wqkv.weight",
    "attn.output.weight": "self_attn.out_proj.weight",
    "attn.output.bias": "self_attn.out_proj.bias",
    "mlp.input.weight": "ff.fc1.weight",
    "mlp.output.weight": "ff.fc2.weight",
    "ln1.weight": "norm1.weight",
    "ln2.weight": "norm2.weight",
}
ROUNDING = 1e-3
"""Two values of deep-norm's α closer than this share are one, rounded to half precision."""


class LoadedBasecaller(NamedTuple):
    """A basecaller with what its input must be."""

    basecaller: Basecaller
    normalisation: dict[str, Any]
    """Fields of `mints.data.nanopore.normalisation.Normalisation`."""

    sample_rate: int
    """Samples per second."""

    weights_sha256: str


def load_basecaller(folder: Path, *, fused_attention: bool = False) -> LoadedBasecaller:
    """An unpacked Bonito model folder; of several weights files the one with the highest number.

    In float32 and evaluation mode, on the CPU. Raises MintsError for what is missing, and naming every missing,
    unexpected or misshapen tensor.
    """
    config = read_config(folder / "config.toml")
    path = last_weights(folder)
    tensors = {name.removeprefix("module."): value for name, value in read_weights([path]).tensors.items()}
    config = _with_alpha_of(config, tensors, path)
    with torch.device("meta"):
        basecaller = Basecaller(config, fused_attention=fused_attention)
    basecaller.load_state_dict(_own_state(basecaller, tensors, path), assign=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return LoadedBasecaller(basecaller.eval(), config.normalisation_settings, config.run_info.sample_rate, digest)


def save_basecaller(folder: Path, basecaller: Basecaller, dtype: torch.dtype = torch.float32) -> None:
    """Write `config.toml` and `weights_1.tar`. The same basecaller gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = basecaller.config.model_dump(exclude_none=True, exclude_defaults=False)
    (folder / "config.toml").write_text("\n".join(toml_lines(config)).lstrip() + "\n", encoding="utf-8")
    buffer = io.BytesIO()  # a file's own name would stand in the archive
    torch.save(official_state(basecaller, dtype), buffer)
    (folder / "weights_1.tar").write_bytes(buffer.getvalue())


def last_weights(folder: Path) -> Path:
    """The weights file with the highest number."""
    numbered = {int(match[1]): path for path in folder.iterdir() if (match := WEIGHTS.fullmatch(path.name))}
    if not numbered:
        raise MintsError(f"{folder} has no weights_N.tar: expected an unpacked Bonito model folder")
    return numbered[max(numbered)]


def official_state(basecaller: Basecaller, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The weights under Bonito's names. Deep-norm's α stays in single precision."""
    state = basecaller.state_dict()
    official = {
        rule.official[0]: _exchanged(rule, state[rule.ours]).detach().to("cpu", copy=True) for rule in rules(basecaller)
    }
    official = {name: value.to(dtype) if value.is_floating_point() else value for name, value in official.items()}
    architecture = basecaller.encoder.architecture
    alpha = torch.tensor(architecture.deepnorm_alpha)
    return official | {ALPHA.format(layer=layer): alpha.clone() for layer in range(architecture.n_layers)}


def rules(basecaller: Basecaller) -> list[Rule]:
    """Every tensor of ours with Bonito's name."""
    found = []
    for name in basecaller.state_dict():
        part, _, rest = name.partition(".")
        if part == "front":
            official = rest.replace("layers.", "encoder.conv.", 1).replace(".norm.", ".norm.bn.")
        elif part == "encoder":
            _, layer, inside = rest.split(".", 2)
            official = f"encoder.transformer_encoder.{layer}.{BLOCK[inside]}"
        elif part == "upsample":
            official = f"encoder.upsample.{rest}"
        else:
            official = (
                f"encoder.crf.{rest}" if rest.startswith("linear.") else rest.replace("conv.", "decoder.layers.0.")
            )
        found.append(Rule(name, (official,)))
    return found


def _exchanged(rule: Rule, tensor: Tensor) -> Tensor:
    """Bonito's feed-forward activates the second half of its first matrix, the one encoder the first half."""
    return torch.cat(tensor.chunk(2)[::-1]) if rule.ours.endswith("mlp.input.weight") else tensor


def _own_state(basecaller: Basecaller, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    expected = {name: tuple(value.shape) for name, value in basecaller.state_dict().items()}
    by_official = {rule.official[0]: rule for rule in rules(basecaller)}
    alphas = {ALPHA.format(layer=layer) for layer in range(basecaller.encoder.architecture.n_layers)}
    missing = sorted((by_official.keys() | alphas) - tensors.keys())
    unexpected = sorted(tensors.keys() - by_official.keys() - alphas)
    found = {name: rule for name, rule in by_official.items() if name in tensors}
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)}, not {expected[rule.ours]}"
        for name, rule in found.items()
        if tuple(tensors[name].shape) != expected[rule.ours]
    ]
    if missing or unexpected or misshapen:
        faults = tensor_faults(missing, unexpected, misshapen)
        raise MintsError(f"{path} is not of the model in {path.parent / 'config.toml'}: {faults}")
    # Copies, so that the model owns its weights whatever becomes of the file they are mapped from.
    own = {rule.ours: _exchanged(rule, tensors[name]).clone() for name, rule in found.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in own.items()}


def _with_alpha_of(config: BonitoConfig, tensors: Mapping[str, Tensor], path: Path) -> BonitoConfig:
    """The configuration with deep-norm's α as the weights have it, which is what Bonito runs with."""
    layer = config.model.encoder.transformer_encoder.layer
    alphas = {float(value) for name, value in tensors.items() if name.endswith(".deepnorm_alpha") and not value.ndim}
    if not alphas:
        return config  # missing, as the inventory will say
    if len(alphas) > 1 or abs(min(alphas) / layer.deepnorm_alpha - 1) > ROUNDING:
        found = ", ".join(f"{alpha:.6g}" for alpha in sorted(alphas))
        raise MintsError(f"{path}: deepnorm_alpha is {found} in the weights, {layer.deepnorm_alpha} in config.toml")
    if torch.tensor(layer.deepnorm_alpha) == min(alphas):
        return config
    table = config.model_dump(exclude_none=True)
    table["model"]["encoder"]["transformer_encoder"]["layer"]["deepnorm_alpha"] = alphas.pop()
    return BonitoConfig.model_validate(table)


def toml_lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """A nested table as TOML: values first, then tables and lists of tables under their full names."""
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_list_of_tables(value)}
    for key, value in table.items():
        if key not in nested:
            yield f"{key} = {_toml_value(value)}"
    for key, value in nested.items():
        name = ".".join((*path, key))
        for entry, header in (
            [(value, f"[{name}]")] if isinstance(value, Mapping) else [(v, f"[[{name}]]") for v in value]
        ):
            yield from ("", header)
            yield from toml_lines(entry, (*path, key))


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _toml_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value) if isinstance(value, bool | str) else repr(value)
