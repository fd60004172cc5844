"""Circuits of heads against dense matrices, and the OV readout audit against its nulls made the slow way."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import LEARNED, POST, PRE
from scipy.stats import ks_2samp

from mints.analysis.circuits import (
    OFFSETS,
    Factored,
    circuit_summary,
    effective_rank,
    eigenvalue_balance,
    head_factors,
    measure_layer,
    ov_circuit,
    qk_circuit,
    singular_values,
    singular_vectors,
    symmetry,
)
from mints.analysis.ov_readout import head_alignment, overlaps, random_nulls, readout_audit
from mints.errors import UsageError
from mints.models.architecture import Architecture
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.positions import alibi_slopes
from mints.pipeline.artifacts import read_npz, write_npz
from mints.studies.genomic.circuit_export import check_audited_head, factor_arrays

ARCHITECTURES = {"post": POST, "pre": PRE, "learned": LEARNED}


def random_encoder(architecture):
    """Every parameter random, biases and norms too, as after training."""
    encoder = randomly_initialised(architecture, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return encoder


@pytest.fixture(scope="module", params=ARCHITECTURES)
def encoder(request):
    return random_encoder(ARCHITECTURES[request.param])


@pytest.fixture(scope="module")
def post_factors():
    return head_factors(random_encoder(POST), 1)


@pytest.fixture(scope="module")
def nulls():
    return random_nulls(24, 4, 20_000, np.random.default_rng(5))


def what_attention_reads(encoder, cache, layer):
    x = cache[f"blocks.{layer}.hook_resid_pre"].double().numpy()
    if encoder.architecture.norm_placement == "post":
        return x
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + encoder.architecture.norm_epsilon)


def plane_by_plane(d_head, offset):
    """The rotation of Su et al. (2021), written plane by plane in the half-split convention."""
    R, half = np.eye(d_head), d_head // 2
    for plane in range(half):
        angle = offset * 10_000 ** (-2 * plane / d_head)
        R[plane, plane] = R[plane + half, plane + half] = np.cos(angle)
        R[plane, plane + half], R[plane + half, plane] = -np.sin(angle), np.sin(angle)
    return R


def dense(circuit, head):
    """One head's matrix, entry by entry."""
    left, right = circuit.left[head], circuit.right[head]
    size = left.shape[1]
    return np.array([[sum(left[:, a] * right[:, b]) for b in range(size)] for a in range(size)])


def test_the_factors_give_the_model_s_own_attention_scores(encoder):
    architecture, layer, length = encoder.architecture, 1, 7
    tokens = torch.randint(5, 30, (2, length), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        sites = [f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.attn.hook_attn_scores"]
        cache = encoder.run(tokens, sites=sites).cache
    x, factors = what_attention_reads(encoder, cache, layer), head_factors(encoder, layer)
    theirs = cache[sites[1]].numpy()
    for head in range(architecture.n_heads):
        for i in range(length):
            for j in range(length):
                query = factors.W_Q[head] @ x[0, i] + factors.b_Q[head]
                key = factors.W_K[head] @ x[0, j] + factors.b_K[head]
                turned = plane_by_plane(len(key), j - i) @ key if architecture.position == "rotary" else key
                score = query @ turned / np.sqrt(len(key))
                if architecture.position == "alibi":
                    score -= alibi_slopes(architecture.n_heads)[head] * abs(i - j)
                assert score == pytest.approx(theirs[0, head, i, j], abs=2e-4)


def test_the_factors_give_the_model_s_own_attention_output(encoder):
    layer = 1
    tokens = torch.randint(5, 30, (1, 6), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        sites = [f"blocks.{layer}.{site}" for site in ("hook_resid_pre", "attn.hook_pattern", "hook_attn_out")]
        cache = encoder.run(tokens, sites=sites).cache
    x, factors = what_attention_reads(encoder, cache, layer)[0], head_factors(encoder, layer)
    output = np.tile(factors.b_O, (6, 1))
    for head, pattern in enumerate(cache[sites[1]][0].double().numpy()):
        values = x @ factors.W_V[head].T + factors.b_V[head]
        output += pattern @ values @ factors.W_O[head].T
    np.testing.assert_allclose(output, cache[sites[2]][0].numpy(), atol=2e-4)


def test_the_circuits_are_the_matrices_of_the_definition(post_factors):
    d_head = 4
    for head in range(6):
        f = post_factors
        W_QK = sum(np.outer(f.W_Q[head, r], f.W_K[head, r]) for r in range(d_head)) / 2
        W_OV = sum(np.outer(f.W_O[head, :, r], f.W_V[head, r]) for r in range(d_head))
        np.testing.assert_allclose(dense(qk_circuit(f), head), W_QK, atol=1e-12)
        np.testing.assert_allclose(dense(ov_circuit(f), head), W_OV, atol=1e-12)


def test_folding_takes_out_what_a_standardised_residual_cannot_show():
    encoder = random_encoder(PRE)
    factors = head_factors(encoder, 0)
    assert np.abs(factors.W_Q.mean(axis=2)).max() < 1e-15
    assert encoder.blocks[0].attn.qkv.weight.mean(dim=1).abs().max() > 0.01


@pytest.mark.parametrize("circuit", [qk_circuit, ov_circuit])
def test_spectrum_and_symmetry_equal_those_of_the_dense_matrix(encoder, circuit):
    factored = circuit(head_factors(encoder, 0))
    vectors, values, symmetries = singular_vectors(factored), singular_values(factored), symmetry(factored)
    for head in range(encoder.architecture.n_heads):
        W = dense(factored, head)
        expected = np.linalg.svd(W, compute_uv=False)[: values.shape[1]]
        np.testing.assert_allclose(values[head], expected, rtol=1e-9)
        np.testing.assert_allclose(vectors.values[head], expected, rtol=1e-9)
        rebuilt = vectors.write[head] @ np.diag(vectors.values[head]) @ vectors.read[head].T
        np.testing.assert_allclose(rebuilt, W, atol=1e-12)
        symmetric, antisymmetric = (((W + sign * W.T) ** 2).sum() for sign in (1, -1))
        assert symmetries[head] == pytest.approx((symmetric - antisymmetric) / (symmetric + antisymmetric))


def test_eigenvalues_of_ov_and_the_copying_score_equal_the_dense_matrix_s(encoder):
    factors = head_factors(encoder, 1)
    measured = measure_layer(factors, rotary=False)
    table = circuit_summary([measured], encoder.architecture)
    for head, row in table.iterrows():
        eigenvalues = np.linalg.eigvals(dense(ov_circuit(factors), head))
        nonzero = eigenvalues[np.abs(eigenvalues) > 1e-6]
        ours = measured.ov_eigenvalues[head]
        np.testing.assert_allclose(np.sort_complex(ours), np.sort_complex(nonzero), atol=1e-9)
        assert row["copying_score"] == pytest.approx(np.mean(nonzero.real > 0))
        assert row["ov_eigenvalue_balance"] == pytest.approx(nonzero.sum().real / np.abs(nonzero).sum())


def test_at_each_offset_a_rotary_model_has_another_bilinear_form():
    factors = head_factors(random_encoder(PRE), 2)
    by_offset = measure_layer(factors, rotary=True).qk_values_by_offset
    d_head = factors.W_Q.shape[1]
    for place, offset in enumerate(OFFSETS):
        form = factors.W_Q[3].T @ plane_by_plane(d_head, offset) @ factors.W_K[3] / np.sqrt(d_head)
        expected = np.linalg.svd(form, compute_uv=False)[:d_head]
        np.testing.assert_allclose(by_offset[3, place], expected, rtol=1e-4)
        np.testing.assert_allclose(singular_values(qk_circuit(factors, offset))[3], expected, rtol=1e-4)
    norms = np.linalg.norm(by_offset[3], axis=1)
    assert norms.max() > 1.02 * norms.min()


def test_the_effective_rank_counts_directions():
    p = np.array([0.5, 0.25, 0.25])
    values = np.array([[3.0, 3.0, 3.0], [2.0, 0.0, 0.0], [4.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    expected = [3, 1, np.exp(-(p * np.log(p)).sum()), np.nan]
    np.testing.assert_allclose(effective_rank(values), expected)


def test_heads_of_known_kind_have_the_scores_of_their_kind():
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 4)))[0].T
    swap = np.kron(np.eye(2), [[0, 1], [-1, 0]])
    copying, removing, turning = Factored(frame, frame), Factored(frame, -frame), Factored(frame, swap @ frame)
    circuits = Factored(*(np.stack(parts) for parts in zip(copying, removing, turning, strict=True)))
    assert symmetry(circuits) == pytest.approx([1, 1, -1])
    assert eigenvalue_balance(np.linalg.eigvals(circuits.core())) == pytest.approx([1, -1, 0], abs=1e-12)


def test_a_head_of_zeros_has_norms_of_zero_and_no_scores(post_factors):
    zero = post_factors._replace(**{name: np.zeros_like(getattr(post_factors, name)) for name in ("W_Q", "W_O")})
    row = circuit_summary([measure_layer(zero, rotary=False)], POST).iloc[0]
    assert row["qk_frobenius_norm"] == row["ov_spectral_norm"] == 0
    assert row[["qk_effective_rank", "qk_symmetry", "copying_score", "ov_eigenvalue_balance"]].isna().all()


def test_the_summary_has_a_row_per_head_and_says_how_position_enters(encoder):
    architecture = encoder.architecture
    rotary = architecture.position == "rotary"
    layers = [measure_layer(head_factors(encoder, n), rotary=rotary) for n in range(architecture.n_layers)]
    table = circuit_summary(layers, architecture)
    assert len(table) == architecture.n_layers * architecture.n_heads
    assert table[["layer", "head"]].drop_duplicates().shape[0] == len(table)
    assert table["qk_form"].str.contains("no position-free QK matrix").all() == rotary
    assert table["qk_offset_of_largest_norm"].isin(OFFSETS).all() == rotary
    if architecture.position == "alibi":
        assert table["alibi_slope"].tolist() == alibi_slopes(architecture.n_heads) * architecture.n_layers
    else:
        assert table["alibi_slope"].isna().all()
    W_QK = dense(qk_circuit(head_factors(encoder, 1)), 2)
    row = table.query("layer == 1 and head == 2").iloc[0]
    assert row["qk_frobenius_norm"] == pytest.approx(np.sqrt((W_QK**2).sum()))
    assert row["qk_spectral_norm"] == pytest.approx(np.linalg.norm(W_QK, 2))


def test_the_key_bias_is_what_a_key_scores_whatever_the_query(post_factors):
    norm = measure_layer(post_factors, rotary=False).key_bias_norm[2]
    x = np.random.default_rng(0).standard_normal(24)
    of_bias_alone = post_factors.b_Q[2] @ (post_factors.W_K[2] @ x) / 2
    vector = post_factors.W_K[2].T @ post_factors.b_Q[2] / 2
    assert of_bias_alone == pytest.approx(vector @ x)
    assert norm == pytest.approx(np.linalg.norm(vector))


def test_overlaps_equal_those_of_the_dense_matrix(post_factors):
    direction = np.random.default_rng(1).standard_normal(24) * 7
    met = overlaps(singular_vectors(ov_circuit(post_factors)), {"task": direction})["task"]
    unit = direction / np.linalg.norm(direction)
    for head in range(6):
        W = dense(ov_circuit(post_factors), head)
        U, _, Vt = np.linalg.svd(W)
        np.testing.assert_allclose(met.write[head], np.abs(U.T @ unit)[:4], atol=1e-9)
        np.testing.assert_allclose(np.abs(met.read[head]), np.abs(Vt @ unit)[:4], atol=1e-9)
        assert met.self_gain()[head] == pytest.approx(direction @ W @ direction / (direction @ direction))
        eigenvalues = np.linalg.eigvalsh((W + W.T) / 2)
        nonzero = eigenvalues[np.abs(eigenvalues) > 1e-9]
        np.testing.assert_allclose(np.sort(met.symmetric_eigenvalues[head]), nonzero, atol=1e-9)


def test_the_nulls_equal_frames_and_directions_that_are_really_made(post_factors, nulls):
    rng, vectors = np.random.default_rng(2), singular_vectors(ov_circuit(post_factors))
    values, W, direction = vectors.values[0], dense(ov_circuit(post_factors), 0), np.eye(24)[0]
    top, frames, directions = [], [], []
    for _ in range(3000):
        U, V = (np.linalg.qr(rng.standard_normal((24, 4)))[0] for _ in range(2))
        U, V = U * rng.choice([-1, 1], 4), V * rng.choice([-1, 1], 4)  # qr's signs are not random
        top.append(np.abs(U.T @ direction).max())
        frames.append(direction @ (U * values) @ V.T @ direction)
        d = rng.standard_normal(24)
        directions.append(d @ W @ d / (d @ d))
    met = overlaps(vectors, {"task": direction})["task"]
    assert ks_2samp(top, nulls.top_cosine[-1]).pvalue > 0.01
    assert ks_2samp(frames, nulls.frame_products @ values).pvalue > 0.01
    assert ks_2samp(directions, nulls.squared_coordinates @ met.symmetric_eigenvalues[0]).pvalue > 0.01


def test_a_head_that_writes_the_probe_s_direction_is_found_and_no_other(nulls):
    encoder, probe = random_encoder(POST), np.random.default_rng(3).standard_normal(24)
    width = POST.d_head
    with torch.no_grad():
        encoder.blocks[2].attn.output.weight[:, 2 * width : 3 * width] = 0
        encoder.blocks[2].attn.output.weight[:, 2 * width] = torch.tensor(probe)
    layers = [
        overlaps(singular_vectors(ov_circuit(head_factors(encoder, n))), {"task": probe})["task"] for n in range(3)
    ]
    audit = readout_audit(layers, nulls, probe_layer=1)
    planted = audit.query("layer == 2 and head == 2").iloc[0]
    assert planted["write_cosine"] == pytest.approx(1)
    assert planted["write_vector"] == 1
    assert planted["write_cosine_p"] == pytest.approx(1 / 20_001)
    assert audit.loc[audit["write_cosine_q"] < 0.05, ["layer", "head"]].to_numpy().tolist() == [[2, 2]]
    assert (audit["at_or_below_probe"] == (audit["layer"] <= 1)).all()
    assert (audit["probe_layer"] == 1).all()


def audit_of_matrix(circuit, direction, nulls):
    met = overlaps(singular_vectors(circuit), {"task": direction})["task"]
    return readout_audit([met], nulls, probe_layer=0)


def test_a_head_that_copies_everything_stands_out_among_frames_but_not_among_directions(nulls):
    frame = np.linalg.qr(np.random.default_rng(4).standard_normal((24, 4)))[0].T[None]
    copying = Factored(frame, frame)
    rows = [audit_of_matrix(copying, d, nulls).iloc[0] for d in np.random.default_rng(5).standard_normal((200, 24))]
    assert np.mean([row["self_gain_frames_p"] < 0.05 for row in rows]) > 0.25
    assert np.mean([row["self_gain_p"] < 0.05 for row in rows]) == pytest.approx(0.05, abs=0.04)


def test_random_directions_have_uniform_p_values(post_factors, nulls):
    directions = np.random.default_rng(6).standard_normal((300, 24))
    vectors = singular_vectors(Factored(*(part[:1] for part in ov_circuit(post_factors))))
    met = overlaps(vectors, {str(row): d for row, d in enumerate(directions)})
    rows = [readout_audit([each], nulls, probe_layer=0).iloc[0] for each in met.values()]
    for column in ("write_cosine_p", "read_cosine_p", "self_gain_p"):
        quantiles = np.quantile([row[column] for row in rows], [0.1, 0.5, 0.9])
        assert quantiles == pytest.approx([0.1, 0.5, 0.9], abs=0.08)


def test_a_head_of_rank_one_is_judged_against_one_random_vector(post_factors, nulls):
    one = Factored(*(part[:, :1] for part in ov_circuit(post_factors)))
    padded = Factored(*(np.concatenate([part, np.zeros((6, 3, 24))], axis=1) for part in one))
    met = overlaps(singular_vectors(padded), {"task": np.eye(24)[0]})["task"]
    assert met.rank().tolist() == [1] * 6
    assert (met.write[:, 1:] == 0).all()
    audit = readout_audit([met], nulls, probe_layer=0)
    single = np.abs(np.random.default_rng(7).standard_normal((40_000, 24)))
    cosine = single[:, 0] / np.linalg.norm(single, axis=1)
    expected = [np.mean(cosine >= value) for value in audit["write_cosine"]]
    assert audit["write_cosine_p"].to_numpy() == pytest.approx(expected, abs=0.015)


def test_a_head_of_zeros_is_no_finding(nulls):
    nothing = np.zeros((1, 4, 24))
    row = audit_of_matrix(Factored(nothing, nothing), np.ones(24), nulls).iloc[0]
    assert row["write_cosine"] == row["self_gain"] == 0
    assert row[["write_cosine_p", "read_cosine_p", "self_gain_p"]].tolist() == [1, 1, 1]


def test_a_direction_without_length_is_refused(post_factors):
    with pytest.raises(ValueError, match="the direction of donors has no length"):
        overlaps(singular_vectors(ov_circuit(post_factors)), {"donors": np.zeros(24)})


def test_the_table_of_one_head_adds_up_to_its_self_gain(post_factors, nulls):
    met = overlaps(singular_vectors(ov_circuit(post_factors)), {"task": np.arange(24.0)})["task"]
    table = head_alignment(met, 3, nulls, d_model=24)
    assert table["vector"].tolist() == [1, 2, 3, 4]
    assert table["self_gain_part"].sum() == pytest.approx(met.self_gain()[3])
    assert table["singular_value"].is_monotonic_decreasing
    random = np.random.default_rng(8).standard_normal((200_000, 24))
    cosine = np.abs(random[:, 0]) / np.linalg.norm(random, axis=1)
    assert table["null_cosine"][0] == pytest.approx(np.quantile(cosine, 0.95), abs=3e-3)
    assert table["null_top_cosine"][0] > table["null_cosine"][0]


def test_the_table_of_one_head_ends_after_25_vectors():
    rng = np.random.default_rng(9)
    circuit = Factored(*rng.standard_normal((2, 1, 30, 64)))
    met = overlaps(singular_vectors(circuit), {"task": rng.standard_normal(64)})["task"]
    assert len(head_alignment(met, 0, random_nulls(64, 30, 100, rng), d_model=64)) == 25


def test_the_archive_of_factors_is_lossless_and_five_times_smaller_than_dense_matrices(tmp_path):
    shape = Architecture(
        vocabulary_size=8, d_model=768, n_layers=1, n_heads=12, d_mlp=8, norm_placement="post", norm_epsilon=1e-12,
        position="alibi", mlp="geglu", mlp_input_bias=False, mlp_output_bias=True, pad_id=3, embedding_norm=True,
    )  # fmt: skip
    factors = head_factors(Encoder(shape), 0)
    write_npz(tmp_path / "factors.npz", factor_arrays(factors, 0))
    bytes_of_dense_qk_and_ov = 2 * 12 * 768 * 768 * 4
    assert (tmp_path / "factors.npz").stat().st_size * 5 < bytes_of_dense_qk_and_ov
    read = read_npz(tmp_path / "factors.npz")
    assert sorted(read) == sorted(f"layer_0_{name}" for name in factors._fields)
    for name, array in factors._asdict().items():
        np.testing.assert_array_equal(read[f"layer_0_{name}"], array)


@pytest.mark.parametrize(
    ("task", "layer", "head", "message"),
    [
        ("tata", 2, 5, None),
        ("tata", 3, 0, "--audited-layer 3 does not exist: the model has layers 0 to 2"),
        ("tata", 0, 6, "--audited-head 6 does not exist: the model has heads 0 to 5"),
        ("ctcf", 0, 0, "--audited-task ctcf is none of this run's tasks: tata, donors"),
    ],
)
def test_an_audited_head_that_does_not_exist_is_refused(task, layer, head, message):
    tasks = [SimpleNamespace(name=name) for name in ("tata", "donors")]
    config = SimpleNamespace(tasks=tasks, audited_task=task, audited_layer=layer, audited_head=head)
    if message is None:
        check_audited_head(config, POST)
    else:
        with pytest.raises(UsageError, match=message):
            check_audited_head(config, POST)
