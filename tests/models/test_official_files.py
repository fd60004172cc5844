"""Small models in the files of the official checkpoints: every layout gives the logits of the reference."""

import json
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, EsmConfig, EsmForMaskedLM

from mints.errors import MintsError
from mints.models.checkpoint import load_model
from mints.models.families.fair_esm import hub_configuration, hub_names
from mints.models.inventory import official_inventory
from mints.models.tokenizers import FixedKmerTokenizer, OverlappingKmerTokenizer, ResidueTokenizer
from mints.models.tokenizers.files import all_kmers

close = {"atol": 1e-5, "rtol": 1e-5}
WIDTH, HEADS, LAYERS = 24, 4, 2
SPECIAL_V1 = ["<unk>", "<pad>", "<mask>", "<cls>"]


class Official(NamedTuple):
    """A random model as its authors would have published it."""

    family: str
    configuration: dict
    tensors: dict[str, Tensor]
    tokenizer: FixedKmerTokenizer | OverlappingKmerTokenizer | ResidueTokenizer
    tokens: Tensor
    logits: Tensor
    """Of transformers' own implementation."""

    like: str
    """Published checkpoint of the same layout."""


def scattered(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def esm(vocabulary, mask_id, **settings):
    configuration = EsmConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=36, pad_token_id=1, mask_token_id=mask_id, emb_layer_norm_before=False,
        attn_implementation="eager", **settings,
    )  # fmt: skip
    return configuration, scattered(EsmForMaskedLM(configuration))


def tokens_with_masks(lowest, vocabulary, mask_id):
    tokens = torch.randint(lowest, vocabulary, (2, 9), generator=torch.Generator().manual_seed(4))
    tokens[0, 3] = tokens[1, 5] = mask_id
    return tokens


def contact_head():
    return {
        "esm.contact_head.regression.weight": torch.ones(1, LAYERS * HEADS),
        "esm.contact_head.regression.bias": torch.ones(1),
    }


@pytest.fixture(scope="module")
def esm2():
    configuration, model = esm(
        33, 32, max_position_embeddings=30, position_embedding_type="rotary", token_dropout=True, layer_norm_eps=1e-5
    )
    tokens = tokens_with_masks(4, 24, 32)
    state = {name: tensor for name, tensor in model.state_dict().items() if "inv_freq" not in name}
    del state["lm_head.decoder.weight"]
    state |= contact_head() | {
        "esm.embeddings.position_embeddings.weight": torch.randn(30, WIDTH),
        "esm.embeddings.position_ids": torch.arange(30)[None],
        **{f"esm.encoder.layer.{n}.attention.self.rotary_embeddings.inv_freq": torch.ones(3) for n in range(LAYERS)},
    }
    name = "facebook/esm2_t6_8M_UR50D"
    with torch.no_grad():
        logits = model(tokens).logits
    return Official("esm2", configuration.to_dict(), state, ResidueTokenizer.generate(), tokens, logits, name)


@pytest.fixture(scope="module")
def nucleotide_transformer_v1():
    tokenizer = FixedKmerTokenizer([*SPECIAL_V1, *all_kmers(3), *"ATCGN"], max_tokens=20)
    configuration, model = esm(
        73, 2, max_position_embeddings=22, position_embedding_type="absolute", token_dropout=True,
        tie_word_embeddings=False,
    )  # fmt: skip
    tokens = tokens_with_masks(4, 73, 2)
    tokens[:, 0] = 3
    with torch.no_grad():
        logits = model(tokens).logits
    state = model.state_dict() | contact_head() | {"esm.embeddings.position_ids": torch.arange(22)[None]}
    name = "InstaDeepAI/nucleotide-transformer-500m-human-ref"
    return Official("nucleotide_transformer", configuration.to_dict(), state, tokenizer, tokens, logits, name)


@pytest.fixture(scope="module")
def dnabert():
    configuration = BertConfig(
        vocab_size=69, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=36,
        max_position_embeddings=20, attn_implementation="eager",
    )  # fmt: skip
    model = scattered(BertForMaskedLM(configuration))
    tokens = tokens_with_masks(5, 69, 4)
    with torch.no_grad():
        logits = model(tokens).logits
    pooler = {"bert.pooler.dense.weight": torch.ones(WIDTH, WIDTH), "bert.pooler.dense.bias": torch.ones(WIDTH)}
    state = model.state_dict() | pooler
    tokenizer = OverlappingKmerTokenizer.generate(3)
    return Official("bert", configuration.to_dict(), state, tokenizer, tokens, logits, "zhihan1996/DNA_bert_3")


@pytest.fixture(scope="module")
def nucleotide_transformer_v2(golden):
    vectors = golden("nucleotide_transformer_v2")
    state = {name: tensor for name, tensor in vectors.weights.items() if "inv_freq" not in name}
    state["esm.embeddings.position_embeddings.weight"] = torch.ones(30, 32)
    inverse = "esm.encoder.layer.{}.attention.self.rotary_embeddings.inv_freq"
    state |= {inverse.format(layer): torch.ones(4) for layer in range(2)}
    tokenizer = FixedKmerTokenizer.generate(1)
    io = vectors.io
    tokens = io["input_ids"]
    real = io["attention_mask"].bool()
    logits = torch.where(real[..., None], io["logits"], 0)
    name = "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"
    return Official("nucleotide_transformer", vectors.configuration, state, tokenizer, tokens, logits, name)


OFFICIAL = ["esm2", "nucleotide_transformer_v1", "nucleotide_transformer_v2", "dnabert"]


@pytest.fixture(params=OFFICIAL)
def official(request) -> Official:
    return request.getfixturevalue(request.param)


def layer_free(names):
    """Names with layer numbers cut out: what two depths of one layout share."""
    return {".".join("N" if part.isdigit() else part for part in name.split(".")) for name in names}


def test_the_small_files_have_the_official_names(official):
    assert layer_free(official.tensors) == layer_free(official_inventory(official.like).shapes)


def one_safetensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


def sharded(folder: Path, tensors: dict[str, Tensor], write, pattern: str, index: str) -> None:
    names = sorted(tensors)
    shards = {pattern.format(n + 1): names[n::3] for n in range(3)}
    for file, part in shards.items():
        write({name: tensors[name].contiguous().clone() for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))


LAYOUTS = {
    "safetensors": one_safetensors,
    "sharded safetensors": lambda folder, tensors: sharded(
        folder, tensors, save_file, "model-0000{}-of-00003.safetensors", "model.safetensors.index.json"
    ),
    "bin": lambda folder, tensors: torch.save(tensors, folder / "pytorch_model.bin"),
    "bin of before torch 1.6": lambda folder, tensors: torch.save(
        tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False
    ),
    "bin from data parallel training": lambda folder, tensors: torch.save(
        {f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "pytorch_model.bin"
    ),
    "sharded bin": lambda folder, tensors: sharded(
        folder, tensors, torch.save, "pytorch_model-0000{}-of-00003.bin", "pytorch_model.bin.index.json"
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_hub_gives_the_logits_of_the_reference(official, layout, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(official.configuration, default=str))
    official.tokenizer.save(tmp_path)
    LAYOUTS[layout](tmp_path, official.tensors)
    loaded = load_model(str(tmp_path))
    assert loaded.family.name == official.family
    assert loaded.tokenizer.vocabulary == official.tokenizer.vocabulary
    real = official.tokens != 1 if official.family != "bert" else torch.ones_like(official.tokens).bool()
    with torch.no_grad():
        torch.testing.assert_close(loaded.encoder(official.tokens, real)[real], official.logits[real], **close)


FAIR_ESM = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "LayerNorm": "final_layer_norm",
    "attention.self.rotary_embeddings": "self_attn.rot_emb",
}


def fair_esm_state(
    tensors: dict[str, Tensor], prefix="encoder.sentence_encoder.", head="encoder."
) -> dict[str, Tensor]:
    """fair-esm's names, written out from its module tree."""
    state = {f"{prefix}embed_tokens.weight": tensors["esm.embeddings.word_embeddings.weight"]}
    for layer in range(LAYERS):
        for theirs, ours in FAIR_ESM.items():
            for part in ("weight", "bias", "inv_freq"):
                hub = f"esm.encoder.layer.{layer}.{theirs}.{part}"
                if hub in tensors:
                    state[f"{prefix}layers.{layer}.{ours}.{part}"] = tensors[hub]
    for part in ("weight", "bias"):
        state[f"{prefix}emb_layer_norm_after.{part}"] = tensors[f"esm.encoder.emb_layer_norm_after.{part}"]
        for module in ("dense", "layer_norm"):
            state[f"{head}lm_head.{module}.{part}"] = tensors[f"lm_head.{module}.{part}"]
    state[f"{head}lm_head.weight"] = tensors["esm.embeddings.word_embeddings.weight"]
    state[f"{head}lm_head.bias"] = tensors["lm_head.bias"]
    return state


SETTINGS = Namespace(encoder_layers=LAYERS, encoder_embed_dim=WIDTH, encoder_attention_heads=HEADS, token_dropout=True)
TABLES = {
    "settings in cfg": lambda state: {"cfg": {"model": SETTINGS}, "model": state},
    "settings as a plain table": lambda state: {"cfg": {"model": vars(SETTINGS)}, "model": state},
    "settings in args": lambda state: {"args": SETTINGS, "model": state},
    "no settings": lambda state: {"model": state},
}


def equals_reference(location, official):
    loaded = load_model(str(location))
    assert loaded.family.name == "esm2"
    assert loaded.tokenizer.vocabulary == ResidueTokenizer.generate().vocabulary
    assert loaded.encoder.architecture.n_heads == HEADS
    with torch.no_grad():
        torch.testing.assert_close(loaded.encoder(official.tokens), official.logits, **close)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("prefixes", [("encoder.sentence_encoder.", "encoder."), ("", "")], ids=["published", "bare"])
def test_a_lone_file_of_fair_esm_gives_the_logits_of_transformers(esm2, table, prefixes, tmp_path):
    path = tmp_path / "esm2_t2_tiny.pt"
    torch.save(TABLES[table](fair_esm_state(esm2.tensors, *prefixes)), path)
    equals_reference(path, esm2)
    torch.save({"model": contact_head()}, tmp_path / "esm2_t2_tiny-contact-regression.pt")
    equals_reference(tmp_path, esm2)


def test_two_files_of_fair_esm_in_a_folder_are_told_apart_by_name(esm2, tmp_path):
    for name in ("first.pt", "second.pt"):
        torch.save({"cfg": {"model": SETTINGS}, "model": fair_esm_state(esm2.tensors)}, tmp_path / name)
    with pytest.raises(MintsError, match=r"has several \.pt files: name one of first\.pt, second\.pt$"):
        load_model(str(tmp_path))
    equals_reference(tmp_path / "second.pt", esm2)


def test_heads_of_a_published_size_are_known_and_of_another_are_asked_for(esm2, tmp_path):
    state = {name: tensor for name, tensor in fair_esm_state(esm2.tensors).items() if "inv_freq" not in name}
    torch.save({"model": state}, tmp_path / "tiny.pt")
    with pytest.raises(MintsError, match=r"tiny\.pt does not say how many attention heads it has"):
        load_model(str(tmp_path / "tiny.pt"))
    heads = {"6_8M": 20, "12_35M": 20, "30_150M": 20, "33_650M": 20, "36_3B": 40}
    for size, expected in heads.items():
        shapes = official_inventory(f"facebook/esm2_t{size}_UR50D").read
        tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        assert hub_configuration(tensors, {}, size)["num_attention_heads"] == expected


@pytest.mark.parametrize("heads", [5, 0, -4, 2.5])
def test_settings_that_contradict_the_tensors_are_refused(esm2, heads, tmp_path):
    settings = Namespace(encoder_attention_heads=heads)
    torch.save({"cfg": {"model": settings}, "model": fair_esm_state(esm2.tensors)}, tmp_path / "model.pt")
    with pytest.raises(MintsError, match=rf"has {heads} attention heads, of which its width is no multiple$"):
        load_model(str(tmp_path))


def test_a_file_of_fair_esm_that_is_not_whole_is_refused_by_name(esm2, tmp_path):
    state = fair_esm_state(esm2.tensors)
    del state["encoder.sentence_encoder.layers.1.fc2.bias"]
    state["encoder.sentence_encoder.embed_positions.weight"] = torch.ones(30, WIDTH)
    torch.save({"cfg": {"model": SETTINGS}, "model": state}, tmp_path / "model.pt")
    with pytest.raises(MintsError) as refusal:
        load_model(str(tmp_path))
    message = str(refusal.value)
    assert "is not ESM-2: 1 tensor missing (esm.encoder.layer.1.output.dense.bias)" in message
    assert "1 tensor unexpected (encoder.sentence_encoder.embed_positions.weight)" in message
    assert "the nearest known checkpoint is facebook/esm2_t6_8M_UR50D, of 114 tensors" in message
    del state["encoder.sentence_encoder.layers.0.fc1.weight"]
    torch.save({"cfg": {"model": SETTINGS}, "model": state}, tmp_path / "model.pt")
    with pytest.raises(MintsError, match="its embedding or first layer is not whole"):
        load_model(str(tmp_path))


def test_names_of_the_hub_are_left_alone_by_the_translation(esm2):
    translated = hub_names(fair_esm_state(esm2.tensors))
    kept = {name for name in esm2.tensors if "contact_head" not in name and "embeddings.position" not in name}
    assert set(translated) == kept | {"lm_head.decoder.weight"}
    for name in kept:
        assert torch.equal(translated[name], esm2.tensors[name])
