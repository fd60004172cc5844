"""Files in SAELens's format: what is written here loads in sae_lens, and what sae_lens writes loads here."""

import json

import pytest
import torch
from torch.testing import assert_close

from mints.features.autoencoder import SparseAutoencoder
from mints.features.file_names import CONFIGURATION, WEIGHTS
from mints.features.saelens import to_saelens
from mints.pipeline import artifacts
from mints.studies.shared.ready_dictionaries import read_autoencoder

D_IN, D_SAE, K = 8, 40, 5
SITE = "blocks.2.hook_resid_post"


def randomised(module, seed=3):
    """Weights of all kinds of sizes, decoder rows of all lengths, thresholds that let some and not all through."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
        if hasattr(module, "threshold"):
            module.threshold.uniform_(0.2, 3, generator=generator)
    return module


def activations():
    return 3 * torch.randn(50, D_IN, generator=torch.Generator().manual_seed(4)) + 1


def same(ours, theirs):
    """Equal latents, equally many of them, and equal outputs, for activations of which some are active."""
    x = activations()
    latents, output = ours(x)
    with torch.no_grad():
        their_latents, their_output = theirs.encode(x), theirs(x)
    assert 0.05 < (latents > 0).float().mean() < 0.9
    assert torch.equal((latents > 0).sum(1), (their_latents > 0).sum(1))
    assert_close(latents, their_latents, atol=1e-4, rtol=1e-4)
    assert_close(output, their_output, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.25, 7.0])
@pytest.mark.parametrize(
    ("rule", "normalisation", "subtracts"),
    [
        ("relu", "none", True),
        ("relu", "none", False),
        ("topk", "none", True),
        ("topk", "layer_norm", True),
        ("threshold", "none", True),
        ("threshold", "unit_norm", False),
    ],
)
def test_what_is_written_here_loads_in_sae_lens_and_gives_the_same(
    rule, normalisation, subtracts, scale, sae_lens, tmp_path
):
    k = K if rule == "topk" else None
    settings = {"k": k, "subtracts_decoder_bias": subtracts, "normalisation": normalisation}
    ours = randomised(SparseAutoencoder(D_IN, D_SAE, rule, **settings)).requires_grad_(False)
    ours.scale.fill_(scale)
    configuration, weights = to_saelens(ours, {"hook_name": SITE, "model_name": "embedded_dnabert2"})
    artifacts.write(tmp_path / CONFIGURATION, configuration, ".json")
    artifacts.write(tmp_path / WEIGHTS, weights, ".safetensors")
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    assert theirs.cfg.architecture() == {"relu": "standard", "topk": "topk", "threshold": "jumprelu"}[rule]
    assert theirs.cfg.metadata.hook_name == SITE
    assert theirs.cfg.metadata.activation_scale == scale
    same(ours, theirs)
    again = read_autoencoder(tmp_path)
    assert again.metadata["hook_name"] == SITE
    same(again.autoencoder, theirs)


def written(theirs, folder):
    theirs.save_model(folder)
    return theirs


def standard(sae_lens, folder):
    config = sae_lens.StandardSAEConfig(d_in=D_IN, d_sae=D_SAE)
    return written(randomised(sae_lens.StandardSAE(config)), folder)


def without_bias_on_the_input(sae_lens, folder):
    config = sae_lens.StandardSAEConfig(
        d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=False, normalize_activations="layer_norm"
    )
    return written(randomised(sae_lens.StandardSAE(config)), folder)


def topk(sae_lens, folder, *, rescaled=False):
    config = sae_lens.TopKSAEConfig(d_in=D_IN, d_sae=D_SAE, k=K, rescale_acts_by_decoder_norm=rescaled)
    return written(randomised(sae_lens.TopKSAE(config)), folder)


def topk_by_decoder_norm(sae_lens, folder):
    return topk(sae_lens, folder, rescaled=True)


def jump_relu(sae_lens, folder):
    config = sae_lens.JumpReLUSAEConfig(d_in=D_IN, d_sae=D_SAE, normalize_activations="constant_norm_rescale")
    return written(randomised(sae_lens.JumpReLUSAE(config)), folder)


def batch_topk_in_training(sae_lens, folder):
    config = sae_lens.BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=K)
    return in_training(sae_lens, sae_lens.BatchTopKTrainingSAE(config), folder)


def matryoshka_in_training(sae_lens, folder):
    config = sae_lens.MatryoshkaBatchTopKTrainingSAEConfig(
        d_in=D_IN, d_sae=D_SAE, k=K, matryoshka_widths=[10, 20, D_SAE]
    )
    return in_training(sae_lens, sae_lens.MatryoshkaBatchTopKTrainingSAE(config), folder)


def in_training(sae_lens, theirs, folder):
    """Saved for use, which makes it a JumpReLU with the threshold that training has learnt."""
    randomised(theirs)
    theirs.topk_threshold.fill_(1.1)
    theirs.save_inference_model(folder)
    return sae_lens.SAE.load_from_disk(folder)


@pytest.mark.parametrize(
    "make",
    [
        standard,
        without_bias_on_the_input,
        topk,
        topk_by_decoder_norm,
        jump_relu,
        batch_topk_in_training,
        matryoshka_in_training,
    ],
)
def test_what_sae_lens_writes_loads_here_and_gives_the_same(make, sae_lens, tmp_path):
    theirs = make(sae_lens, tmp_path)
    found = read_autoencoder(tmp_path)
    assert found.metadata["format"] == f"SAELens {theirs.cfg.architecture()}"
    same(found.autoencoder, theirs)


@pytest.mark.parametrize("activation", ["relu", "topk"])
def test_directories_of_sae_lens_before_6_load_as_they_load_there(activation, sae_lens, tmp_path):
    weights = SparseAutoencoder(D_IN, D_SAE, "relu")
    tensors = {name: tensor.numpy() for name, tensor in randomised(weights).requires_grad_(False).named_parameters()}
    configuration = {
        "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "model_name": "some_model",
        "hook_point": SITE, "activation_fn_str": activation, "activation_fn_kwargs": {"k": K},
        "apply_b_dec_to_input": True, "normalize_activations": False,
    }  # fmt: skip
    artifacts.write(tmp_path / WEIGHTS, tensors, ".safetensors")
    (tmp_path / CONFIGURATION).write_text(json.dumps(configuration))
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    found = read_autoencoder(tmp_path)
    assert found.metadata == {"format": f"SAELens {theirs.cfg.architecture()}", "hook_name": SITE}
    same(found.autoencoder, theirs)
