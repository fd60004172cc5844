"""Dictionaries of other libraries: files in their layouts, read back and held against their own definitions."""

import json
import os
import pickle

import numpy as np
import published_layouts as published
import pytest
import torch
import yaml
from published_layouts import D_IN, D_SAE, K, drawn, tokens
from safetensors.torch import save_file

from mints.errors import MintsError
from mints.features.formats import from_published
from mints.models.dictionary_files import read_dictionary_files

THRESHOLD = 1.3
EXTRAS = {"activation_rescale_factor": torch.ones(D_SAE), "normalize_to_sqrt_d": torch.tensor(False)}


def linear(w, bias):
    """Tensors of two torch Linears and a bias of this name."""
    named = {"encoder.weight": "encoder", "encoder.bias": "encoder_bias", "decoder.weight": "decoder", bias: "bias"}
    return {name: torch.from_numpy(w[role]) for name, role in named.items()}


def plain(w):
    arrays = {"W_enc": w["encoder"].T, "b_enc": w["encoder_bias"], "W_dec": w["decoder"].T, "b_dec": w["bias"]}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def chosen(threshold=THRESHOLD):
    return {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold)}


def dictionary_learning(name):
    trainer = {"dict_class": name, "trainer_class": "…", "lm_name": "EleutherAI/pythia-70m", "layer": 3}
    return {"config.json": json.dumps({"trainer": trainer | {"submodule_name": "resid_post_layer_3"}, "buffer": {}})}


def interplm(**trainer):
    """The configuration of a training as InterPLM dumps it: block style, one mapping a section."""
    lines = [
        "dataloader_cfg:",
        "  batch_size: 32",
        "trainer_cfg:",
        "  activation_dim: 6",
        "  normalize_to_sqrt_d: false",
    ]
    return {"config.yaml": "\n".join([*lines, *(f"  {name}: {value}" for name, value in trainer.items())]) + "\n"}


def write(folder, name, tensors, beside=None):
    folder.mkdir(exist_ok=True)
    if name.endswith(".safetensors"):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)
    else:
        torch.save(tensors, folder / name)
    for other, text in (beside or {}).items():
        (folder / other).write_text(text)
    return folder


def read(path, k=None):
    return from_published(read_dictionary_files(path), k)


def compare(found, expected, x=None):
    """Latents and output equal what the definition gives; enough is active and enough is not for that to mean much."""
    latents, output = found.autoencoder(torch.from_numpy(tokens() if x is None else x))
    assert 0.05 < (expected[0] > 0).mean() < 0.8
    np.testing.assert_allclose(latents.numpy(), expected[0], atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(output.numpy(), expected[1], atol=2e-4, rtol=1e-4)


w = drawn()
dl = dictionary_learning
LAYOUTS = {
    "dictionary_learning AutoEncoder": ("ae.pt", linear(w, "bias"), dl("AutoEncoder"), published.autoencoder, {}),
    "dictionary_learning AutoEncoderNew": (
        "ae.pt", linear(w, "decoder.bias"), dl("AutoEncoderNew"), published.autoencoder_new, {}
    ),
    "dictionary_learning TopK": (
        "ae.pt", linear(w, "b_dec") | chosen(), dl("AutoEncoderTopK"), published.topk, {}
    ),
    "dictionary_learning BatchTopK": (
        "ae.pt", linear(w, "b_dec") | chosen(), dl("BatchTopKSAE"), published.batch_topk, {"threshold": THRESHOLD}
    ),
    "dictionary_learning Matryoshka": (
        "ae.pt", plain(w) | chosen() | {"group_sizes": torch.tensor([3, 4, 8])}, dl("MatryoshkaBatchTopKSAE"),
        published.batch_topk, {"threshold": THRESHOLD},
    ),
    "dictionary_learning JumpReLU": (
        "ae.pt", plain(w) | {"threshold": torch.from_numpy(w["thresholds"])}, dl("JumpReluAutoEncoder"),
        published.jump_relu_with_norms, {},
    ),
    "InterPLM ReLU as on the hub": ("ae_normalized.pt", linear(w, "bias"), None, published.autoencoder, {}),
    "InterPLM ReLU": (
        "ae.pt", linear(w, "bias") | EXTRAS, interplm(l1_penalty=0.1, resample_steps="null"), published.autoencoder, {}
    ),
    "InterPLM TopK": (
        "ae.pt", linear(w, "b_dec") | chosen() | EXTRAS, interplm(k=K, auxk_alpha=0.03, trainer_name="TopKTrainer"),
        published.topk, {},
    ),
    "InterPLM BatchTopK": (
        "ae.pt", linear(w, "b_dec") | chosen() | EXTRAS, interplm(k=K, auxk_alpha=0.03),
        published.batch_topk, {"threshold": THRESHOLD},
    ),
    "InterPLM JumpReLU": (
        "ae.pt", linear(w, "decoder.bias") | EXTRAS | {"threshold": torch.from_numpy(w["thresholds"])},
        interplm(bandwidth=0.001), published.jump_relu, {},
    ),
    "Decode-gLM": (
        "checkpoint.pt", linear(w, "b_dec") | chosen() | EXTRAS, None, published.batch_topk, {"threshold": THRESHOLD}
    ),
    "InterProt": (
        "esm2_plm6_l24_sae15_k4_auxk64.safetensors",
        {"w_enc": plain(w)["W_enc"], "b_enc": plain(w)["b_enc"], "w_dec": plain(w)["W_dec"], "b_pre": plain(w)["b_dec"],
         "stats_last_nonzero": torch.zeros(D_SAE, dtype=torch.long)},
        None, published.interprot, {"k": K},
    ),
    "sparsify": (
        "sae.safetensors",
        {"encoder.weight": linear(w, "b")["encoder.weight"], "encoder.bias": linear(w, "b")["encoder.bias"],
         "W_dec": plain(w)["W_dec"], "b_dec": plain(w)["b_dec"]},
        {"cfg.json": json.dumps({"k": K, "num_latents": D_SAE, "activation": "topk"})}, published.topk, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_dictionary_in_its_library_s_layout_encodes_and_decodes_as_that_library_does(name, tmp_path):
    file, tensors, beside, forward, settings = LAYOUTS[name]
    found = read(write(tmp_path / "dictionary", file, tensors, beside))
    compare(found, forward(w, tokens(), **settings))
    assert found.metadata["format"].startswith(name.split()[0]) or name.split()[0] in found.metadata["format"]
    assert found.remarks == []


def test_metadata_tell_what_the_configuration_says_of_the_training(tmp_path):
    file, tensors, beside, *_ = LAYOUTS["dictionary_learning BatchTopK"]
    found = read(write(tmp_path, file, tensors, beside))
    assert found.metadata == {
        "format": "dictionary_learning and InterPLM BatchTopKSAE",
        "model_name": "EleutherAI/pythia-70m",
        "layer": 3,
        "submodule_name": "resid_post_layer_3",
        "k": K,
    }


def test_a_file_of_half_precision_is_read_as_float32(tmp_path):
    halved = {name: tensor.to(torch.bfloat16) for name, tensor in linear(w, "bias").items()}
    found = read(write(tmp_path, "ae.pt", halved))
    rounded = {name: torch.from_numpy(array).to(torch.bfloat16).float().numpy() for name, array in w.items()}
    compare(found, published.autoencoder(rounded, tokens()))


def test_decode_glm_s_flag_for_normalised_input_is_not_followed_since_training_never_saw_it(tmp_path):
    """The fault: training and concept scores call `encode`, which takes activations as they are; steering calls
    `forward`, which first brings them to length √d. Both values are shown; the weights were made for the former.
    """
    file, tensors, *_ = LAYOUTS["Decode-gLM"]
    found = read(write(tmp_path, file, tensors | {"normalize_to_sqrt_d": torch.tensor(True)}))
    x = tokens()
    as_trained = published.batch_topk(w, x, threshold=THRESHOLD)
    as_steered = published.to_sqrt_d(published.batch_topk, w, x, threshold=THRESHOLD)
    compare(found, as_trained)
    assert np.abs(as_trained[0] - as_steered[0]).max() > 1
    assert (as_trained[0] > 0).sum() != (as_steered[0] > 0).sum()
    assert found.remarks == [
        "normalize_to_sqrt_d is set, but training did not apply it: activations are encoded as they are"
    ]


def test_interplm_s_relu_dictionaries_were_trained_in_the_normalised_frame_and_are_used_in_it(tmp_path):
    tensors = linear(w, "bias") | EXTRAS | {"normalize_to_sqrt_d": torch.tensor(True)}
    found = read(write(tmp_path, "ae.pt", tensors, interplm(l1_penalty=0.1)))
    compare(found, published.to_sqrt_d(published.autoencoder, w, tokens()))
    assert found.remarks == []


def test_factors_that_bring_latents_to_one_are_left_out_and_told(tmp_path):
    tensors = linear(w, "bias") | EXTRAS | {"activation_rescale_factor": torch.full((D_SAE,), 7.0)}
    found = read(write(tmp_path, "ae_normalized.pt", tensors))
    compare(found, published.autoencoder(w, tokens()))
    assert "activation_rescale_factor is not applied" in found.remarks[0]


def interprot_file(folder, name="esm2_plm1280_l24_sae4096.safetensors", d_sae=D_SAE):
    arrays = drawn() if d_sae == D_SAE else None
    if arrays is None:
        rng = np.random.default_rng(1)
        arrays = {"encoder": rng.normal(size=(d_sae, D_IN)), "encoder_bias": rng.normal(size=d_sae)}
        arrays |= {"decoder": rng.normal(size=(D_IN, d_sae)), "bias": rng.normal(size=D_IN)}
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    named = plain(arrays)
    ours = {"w_enc": "W_enc", "b_enc": "b_enc", "w_dec": "W_dec", "b_pre": "b_dec"}
    write(folder, name, {theirs: named[own] for theirs, own in ours.items()})
    return folder / name, arrays


def test_k_of_interprot_is_32_unless_its_name_or_the_user_says_otherwise(tmp_path):
    path, arrays = interprot_file(tmp_path, d_sae=120)
    found = read(path)
    compare(found, published.interprot(arrays, tokens(), 32))
    assert "32 largest" in found.remarks[0]
    given = read(path, k=50)
    compare(given, published.interprot(arrays, tokens(), 50))
    assert given.remarks == []
    assert given.metadata["k"] == 50


def test_a_k_that_the_file_contradicts_or_cannot_have_is_refused(tmp_path):
    file, tensors, beside, *_ = LAYOUTS["dictionary_learning TopK"]
    folder = write(tmp_path / "one", file, tensors, beside)
    assert read(folder, k=K).autoencoder.k == K
    with pytest.raises(MintsError, match=r"ae\.pt was trained with k = 4, not 5"):
        read(folder, k=5)
    path, _ = interprot_file(tmp_path)
    with pytest.raises(MintsError, match="k is 32, and there are 15 latents"):
        read(path)


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("name", "change", "texts"),
    [
        ("InterPLM ReLU", lambda t: without(t, "bias"), ["missing: bias"]),
        ("dictionary_learning BatchTopK", lambda t: without(t, "b_dec"), ["BatchTopKSAE", "missing: b_dec"]),
        ("Decode-gLM", lambda t: t | {"W_skip": torch.zeros(2)}, ["unexpected: W_skip"]),
        ("InterProt", lambda t: without(t, "b_pre") | {"b_dec": torch.zeros(6)}, ["missing: b_pre", "unexpected: b_d"]),
        ("sparsify", lambda t: t | {"b_dec": torch.zeros(5)}, ["b_dec has shape (5,), not (6,)"]),
        ("dictionary_learning TopK", lambda t: t | {"decoder.weight": torch.zeros(15, 6)}, ["(15, 6), not (6, 15)"]),
        ("dictionary_learning JumpReLU", lambda t: t | {"threshold": torch.zeros(3)}, ["threshold has shape (3,)"]),
        ("dictionary_learning Matryoshka", lambda t: t | {"W_enc": torch.zeros(6)}, ["W_enc has shape (6,)"]),
        ("InterPLM JumpReLU", lambda t: t | {"encoder.bias": torch.full((15,), torch.nan)}, ["encoder.bias", "finite"]),
        ("Decode-gLM", lambda t: t | chosen(-1.0), ["its threshold was never learnt (-1)"]),
        ("InterProt", lambda t: {"weight": torch.zeros(2, 2)}, ["no dictionary that can be read: it has weight"]),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(name, change, texts, tmp_path):
    file, tensors, beside, *_ = LAYOUTS[name]
    folder = write(tmp_path, file, change(dict(tensors)), beside)
    with pytest.raises(MintsError) as refusal:
        read(folder)
    for text in [file, *texts]:
        assert text in str(refusal.value)


def test_two_layouts_of_the_same_tensors_need_the_configuration_that_tells_them_apart(tmp_path):
    write(tmp_path, "ae.pt", LAYOUTS["dictionary_learning TopK"][1])
    with pytest.raises(MintsError, match=r"may be .*TopKSAE or .*BatchTopKSAE.*config\.json or config\.yaml"):
        read(tmp_path)


def test_folders_without_one_dictionary_are_told_apart(tmp_path):
    with pytest.raises(MintsError, match=r"nowhere does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(MintsError, match="holds no dictionary"):
        read(tmp_path)
    for name in ("ae_normalized.pt", "ae_unnormalized.pt"):
        write(tmp_path, name, linear(w, "bias"))
    with pytest.raises(MintsError, match=r"name one of ae_normalized\.pt, ae_unnormalized\.pt"):
        read(tmp_path)
    compare(read(tmp_path / "ae_unnormalized.pt"), published.autoencoder(w, tokens()))


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["for a tensor", "beside the tensors", "alone"])
@pytest.mark.parametrize("old", [False, True])
def test_a_malicious_dictionary_executes_nothing_and_is_refused_in_one_line(place, old, tmp_path, monkeypatch):
    # The variable overrules callers of torch.load who do not say what they want.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    witness = tmp_path / "executed"
    payload = Payload(os.system, f"touch {witness}")
    tensors = linear(w, "bias")
    content = {"for a tensor": tensors | {"bias": payload}, "beside the tensors": tensors | {"trainer": payload}}
    torch.save(content.get(place, payload), tmp_path / "ae.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(MintsError, match=r"ae\.pt cannot be read as weights: it asks for posix\.system") as refusal:
        read(tmp_path)
    assert "\n" not in str(refusal.value)
    assert not witness.exists()
    pickle.loads(pickle.dumps(payload))  # without the refusal it would have run
    assert witness.exists()


def test_objects_of_python_in_a_configuration_are_read_as_plain_values_and_nothing_is_called(tmp_path):
    witness = tmp_path / "executed"
    text = f"""!!python/object:interplm.train.configs.TrainingRunConfig
checkpoint_cfg: !!python/object:interplm.train.checkpoint_manager.CheckpointConfig
  save_dir: !!python/object/apply:pathlib.PosixPath [models, run]
trainer_cfg: !!python/object:interplm.train.trainers.top_k.TopKTrainerConfig
  k: {K}
  auxk_alpha: 0.03125
  trainer_name: TopKTrainer
  attack: !!python/object/apply:os.system ['touch {witness}']
  other: !!python/object/new:os.system ['touch {witness}']
  name: !!python/name:os.system ''
"""
    write(tmp_path, "ae.pt", linear(w, "b_dec") | chosen() | EXTRAS, {"config.yaml": text})
    compare(read(tmp_path), published.topk(w, tokens()))
    assert not witness.exists()
    yaml.unsafe_load(f"!!python/object/apply:os.system ['touch {witness}']")  # another loader would have run it
    assert witness.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "[1, 2]"), ("config.json", "{"), ("config.yaml", "- a"), ("config.yaml", "a: !other [1]")],
)
def test_a_configuration_that_is_none_is_refused(name, content, tmp_path):
    write(tmp_path, "ae.pt", linear(w, "bias"), {name: content})
    with pytest.raises(MintsError, match=name):
        read(tmp_path)
