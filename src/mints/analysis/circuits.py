"""Query-key and output-value circuits of every head, always as pairs of factors (Elhage et al. 2021).

    score(i, j) = (W_Q xᵢ + b_Q) · (W_K xⱼ + b_K) / √d_head        W_QK = W_Qᵀ W_K / √d_head   (query side first)
    output(i)   = W_O Σⱼ pattern(i, j) (W_V xⱼ + b_V)              W_OV = W_O W_V              (write side first)

x is what the attention reads. In post-norm models that is the residual stream at `hook_resid_pre`. In pre-norm models
the norm before the attention is folded into the factors (scale into the matrices, shift into the biases), so that x is
the *standardised* residual: its mean removed, divided by its standard deviation.

Both matrices have rank d_head at most, so nothing of size d_model x d_model is ever formed: W = leftᵀ right gives its
singular values from the QR decompositions of both factors, and its non-zero eigenvalues are those of right leftᵀ.

A rotary model turns queries and keys by their positions, R(i) and R(j): its scores have no position-free matrix, only
one bilinear form per offset, W_Qᵀ R(j - i) W_K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Complex, Float
from numpy import ndarray
from torch import nn

from mints.models.architecture import Architecture
from mints.models.encoder import Encoder
from mints.models.positions import Rotation, alibi_slopes

OFFSETS = (-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64)
"""Key position minus query position, in tokens, at which a rotary model's bilinear form is measured."""

NEGLIGIBLE = 1e-10
"""Singular values and eigenvalues below this share of the largest singular value are rounding."""

QK_FORM = {
    "alibi": "one QK matrix for all positions; ALiBi adds -slope x |i - j| beside it",
    "learned": "one QK matrix for all positions, which are part of the residual stream",
    "rotary": "rotary: no position-free QK matrix, W_Q^T R(offset) W_K differs by offset; QK figures are at offset 0",
}
"""What the QK figures mean, by the architecture's kind of position; stands in the tables and archives."""

INPUT_SPACE = {
    "post": "residual stream (hook_resid_pre)",
    "deepnorm": "residual stream (hook_resid_pre)",
    "pre": "standardised residual stream (hook_resid_pre without its mean, over its standard deviation); ln1 folded in",
}
"""What the factors act on, by the architecture's norm placement; stands in the archives."""


class HeadFactors(NamedTuple):
    """Attention weights of one layer, head by head, in float64."""

    W_Q: Float[ndarray, "head d_head d_model"]
    W_K: Float[ndarray, "head d_head d_model"]
    W_V: Float[ndarray, "head d_head d_model"]
    b_Q: Float[ndarray, "head d_head"]  # noqa: N815
    b_K: Float[ndarray, "head d_head"]  # noqa: N815
    b_V: Float[ndarray, "head d_head"]  # noqa: N815
    W_O: Float[ndarray, "head d_model d_head"]
    b_O: Float[ndarray, "d_model"]  # noqa: N815
    """Shared by the heads of the layer."""


class Factored(NamedTuple):
    """Matrices leftᵀ right, one per head, that are never formed."""

    left: Float[ndarray, "head rank d_model"]
    right: Float[ndarray, "head rank d_model"]

    def core(self) -> Float[ndarray, "head rank rank"]:
        """The small product right leftᵀ: its non-zero eigenvalues are those of leftᵀ right."""
        product: Float[ndarray, "head rank rank"] = self.right @ _transposed(self.left)
        return product


class SingularVectors(NamedTuple):
    """W = Σₛ value[s] · write[:, s] read[:, s]ᵀ for each head, the largest value first."""

    write: Float[ndarray, "head d_model rank"]
    values: Float[ndarray, "head rank"]
    read: Float[ndarray, "head d_model rank"]


class LayerCircuits(NamedTuple):
    """What is measured of the heads of one layer."""

    qk_values: Float[ndarray, "head d_head"]
    """Singular values of W_QK (of a rotary model: at offset 0)."""

    ov_values: Float[ndarray, "head d_head"]
    ov_eigenvalues: Complex[ndarray, "head d_head"]
    qk_symmetry: Float[ndarray, "head"]
    key_bias_norm: Float[ndarray, "head"]
    """Norm of W_Kᵀ b_Q / √d_head: what every key scores whatever the query is."""

    qk_values_by_offset: Float[ndarray, "head offset d_head"] | None
    """At each of `OFFSETS`; None where the model is not rotary."""


def head_factors(encoder: Encoder, layer: int) -> HeadFactors:
    """The attention weights of one layer, acting on the residual stream (post-norm) or the standardised one (pre-norm).

    Of a pre-norm layer the mean over d_model is taken out of each row as well: a standardised residual has no mean, so
    that part never acts, and would stand in the spectra nevertheless.
    """
    block = encoder.block(layer)
    heads = encoder.architecture.n_heads
    weight, bias = _float64(block.attn.qkv.weight), _bias(block.attn.qkv)
    if encoder.architecture.norm_placement == "pre":
        if isinstance(block.ln1, nn.LayerNorm):
            bias = bias + weight @ _float64(block.ln1.bias)
        weight = weight * _float64(block.ln1.weight)
        if isinstance(block.ln1, nn.LayerNorm):  # a root-mean-square norm leaves the mean in
            weight = weight - weight.mean(axis=1, keepdims=True)
    W_Q, W_K, W_V = weight.reshape(3, heads, -1, weight.shape[1])
    b_Q, b_K, b_V = bias.reshape(3, heads, -1)
    output = _float64(block.attn.output.weight)
    W_O = output.reshape(len(output), heads, -1).transpose(1, 0, 2)
    return HeadFactors(W_Q, W_K, W_V, b_Q, b_K, b_V, W_O, _bias(block.attn.output))


def qk_circuit(factors: HeadFactors, offset: int | None = None) -> Factored:
    """W_Qᵀ W_K / √d_head or, at an offset of a rotary model, W_Qᵀ R(offset) W_K / √d_head."""
    d_head = factors.W_Q.shape[1]
    right = factors.W_K if offset is None else rotation_matrix(d_head, offset) @ factors.W_K
    return Factored(factors.W_Q / np.sqrt(d_head), right)


def ov_circuit(factors: HeadFactors) -> Factored:
    """W_O W_V."""
    return Factored(_transposed(factors.W_O), factors.W_V)


def rotation_matrix(d_head: int, offset: int) -> Float[ndarray, "d_head d_head"]:
    """R with (R(i) q) · (R(j) k) = q · R(j - i) k, made by the model's own rotation."""
    rotation = Rotation(d_head, abs(offset) + 1, torch.device("cpu"))
    basis = torch.eye(d_head, dtype=torch.float64)[:, None, None, :].expand(-1, abs(offset) + 1, -1, -1)
    turned: Float[ndarray, "d_head d_head"] = rotation(basis)[:, -1, 0].numpy()  # row c: column c of R(|offset|)
    return turned.T if offset >= 0 else turned


def singular_vectors(circuit: Factored) -> SingularVectors:
    """Singular value decomposition of leftᵀ right, from that of the small matrix between the factors' bases."""
    left_basis, left = np.linalg.qr(_transposed(circuit.left))
    right_basis, right = np.linalg.qr(_transposed(circuit.right))
    write, values, read = np.linalg.svd(left @ _transposed(right))
    return SingularVectors(left_basis @ write, values, right_basis @ _transposed(read))


def singular_values(circuit: Factored) -> Float[ndarray, "head rank"]:
    """The singular values of leftᵀ right alone, the largest first."""
    left, right = (np.linalg.qr(_transposed(factor)).R for factor in circuit)
    return np.linalg.svd(left @ _transposed(right), compute_uv=False)


def qk_values_by_offset(factors: HeadFactors) -> Float[ndarray, "head offset d_head"]:
    """Singular values of W_Qᵀ R(offset) W_K / √d_head at each of `OFFSETS`: one pair of bases serves all offsets."""
    queries, keys = (np.linalg.qr(_transposed(factor)).R for factor in qk_circuit(factors))
    rotations = [rotation_matrix(keys.shape[-1], offset) for offset in OFFSETS]
    return np.stack([np.linalg.svd(queries @ R @ _transposed(keys), compute_uv=False) for R in rotations], axis=1)


def effective_rank(values: Float[ndarray, "*matrix rank"]) -> Float[ndarray, "*matrix"]:
    """Exponential of the entropy of the values over their sum (Roy & Vetterli 2007); NaN for a zero matrix."""
    share = np.divide(values, values.sum(axis=-1, keepdims=True), where=values > 0, out=np.zeros_like(values))
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)
    return np.where(values.any(axis=-1), np.exp(entropy), np.nan)


def symmetry(circuit: Factored) -> Float[ndarray, "head"]:
    """(|S|² - |A|²) / |W|² of the symmetric and antisymmetric parts of W: 1 symmetric, -1 antisymmetric, 0 random.

    The score of Saponati et al. (2025). Since |S|² = (|W|² + tr W²) / 2 and |A|² = (|W|² - tr W²) / 2, it is
    tr W² / |W|²: two traces of small matrices. NaN for a zero matrix.
    """
    core = circuit.core()
    grams = [factor @ _transposed(factor) for factor in circuit]
    squared_norm = np.einsum("hrs,hsr->h", *grams)
    squared_trace = np.einsum("hrs,hsr->h", core, core)
    return _ratio(squared_trace, squared_norm)


def copying_score(
    eigenvalues: Complex[ndarray, "head rank"], spectral_norm: Float[ndarray, "head"]
) -> Float[ndarray, "head"]:
    """Share of the non-zero eigenvalues of W_OV with a positive real part; NaN where there is none.

    A direction of positive eigenvalue is written back as it was read, one of negative eigenvalue is taken away.
    """
    counted = np.abs(eigenvalues) > NEGLIGIBLE * spectral_norm[:, None]
    return _ratio((counted & (eigenvalues.real > 0)).sum(axis=1), counted.sum(axis=1))


def eigenvalue_balance(eigenvalues: Complex[ndarray, "head rank"]) -> Float[ndarray, "head"]:
    """Σ λ / Σ |λ|, the copying measure of Elhage et al. (2021), which weighs eigenvalues by size; NaN if all are 0."""
    return _ratio(eigenvalues.real.sum(axis=1), np.abs(eigenvalues).sum(axis=1))


def measure_layer(factors: HeadFactors, *, rotary: bool) -> LayerCircuits:
    """Spectra and scores of every head of a layer."""
    qk, ov = qk_circuit(factors), ov_circuit(factors)
    key_bias = np.einsum("hrd,hr->hd", factors.W_K, factors.b_Q) / np.sqrt(factors.W_Q.shape[1])
    return LayerCircuits(
        qk_values=singular_values(qk),
        ov_values=singular_values(ov),
        ov_eigenvalues=np.linalg.eigvals(ov.core()).astype(complex),
        qk_symmetry=symmetry(qk),
        key_bias_norm=np.linalg.norm(key_bias, axis=1),
        qk_values_by_offset=qk_values_by_offset(factors) if rotary else None,
    )


def circuit_summary(layers: Sequence[LayerCircuits], architecture: Architecture) -> pd.DataFrame:
    """One row per head: norms, effective ranks, symmetry, copying, and how position enters.

    `alibi_slope` is blank for models without ALiBi, the columns on offsets for models without rotary positions.
    """
    heads = architecture.n_heads
    slopes = alibi_slopes(heads) if architecture.position == "alibi" else np.full(heads, np.nan)
    parts = []
    for layer, each in enumerate(layers):
        columns = {
            "layer": layer,
            "head": np.arange(heads),
            "qk_spectral_norm": each.qk_values[:, 0],
            "qk_frobenius_norm": np.linalg.norm(each.qk_values, axis=1),
            "qk_effective_rank": effective_rank(each.qk_values),
            "qk_symmetry": each.qk_symmetry,
            "qk_key_bias_norm": each.key_bias_norm,
            "ov_spectral_norm": each.ov_values[:, 0],
            "ov_frobenius_norm": np.linalg.norm(each.ov_values, axis=1),
            "ov_effective_rank": effective_rank(each.ov_values),
            "copying_score": copying_score(each.ov_eigenvalues, each.ov_values[:, 0]),
            "ov_eigenvalue_balance": eigenvalue_balance(each.ov_eigenvalues),
            "alibi_slope": slopes,
        }
        parts.append(pd.DataFrame(columns | _offset_columns(each) | {"qk_form": QK_FORM[architecture.position]}))
    return pd.concat(parts, ignore_index=True)


def _offset_columns(layer: LayerCircuits) -> dict[str, ndarray | float]:
    """Where among `OFFSETS` a rotary head's bilinear form is largest, and how much that matters."""
    if layer.qk_values_by_offset is None:
        return {"qk_offset_of_largest_norm": np.nan, "qk_smallest_over_largest_norm": np.nan}
    norms = np.linalg.norm(layer.qk_values_by_offset, axis=2)
    return {
        "qk_offset_of_largest_norm": np.array(OFFSETS)[norms.argmax(axis=1)],
        "qk_smallest_over_largest_norm": _ratio(norms.min(axis=1), norms.max(axis=1)),
    }


def _ratio(top: ndarray, bottom: ndarray) -> Float[ndarray, "head"]:
    """The quotient; NaN where nothing is divided by nothing."""
    quotient: Float[ndarray, "head"] = np.divide(top, bottom, where=bottom > 0, out=np.full(len(top), np.nan))
    return quotient


def _transposed(matrices: Float[ndarray, "head row column"]) -> Float[ndarray, "head column row"]:
    return matrices.transpose(0, 2, 1)


def _bias(linear: nn.Linear) -> Float[ndarray, "out"]:
    """A projection's bias; zeros where it has none."""
    has_bias: bool = linear.bias is not None
    return _float64(linear.bias) if has_bias else np.zeros(linear.out_features)


def _float64(parameter: torch.Tensor) -> Float[ndarray, "..."]:
    values: Float[ndarray, "..."] = parameter.detach().cpu().double().numpy()  # on the CPU first: MPS has no float64
    return values
