"""The published checkpoints: their inventories against published figures, and what a misfit is held against."""

import json
import math

import pytest
import torch

from mints.errors import MintsError, UsageError
from mints.models.checkpoint import load_model
from mints.models.families import FAMILIES, choose_family
from mints.models.families.bert import BERT
from mints.models.families.dnabert2 import DNABERT2
from mints.models.families.esm import ESM2, NUCLEOTIDE_TRANSFORMER
from mints.models.inventory import official_inventory
from mints.models.known import known_checkpoint, known_checkpoints, nearest

NT = "InstaDeepAI/nucleotide-transformer-"
FIGURES = {
    "zhihan1996/DNABERT-2-117M": ("dnabert2", 142, 117_074_176),
    f"{NT}v2-50m-multi-species": ("nucleotide_transformer", 192, 55_904_972),
    f"{NT}v2-100m-multi-species": ("nucleotide_transformer", 342, 97_889_132),
    f"{NT}v2-250m-multi-species": ("nucleotide_transformer", 372, 235_120_780),
    f"{NT}v2-500m-multi-species": ("nucleotide_transformer", 447, 498_345_436),
    f"{NT}500m-human-ref": ("nucleotide_transformer", 397, 485_699_306),
    f"{NT}500m-1000g": ("nucleotide_transformer", 397, 485_699_306),
    f"{NT}2.5b-1000g": ("nucleotide_transformer", 525, 2_547_801_226),
    f"{NT}2.5b-multi-species": ("nucleotide_transformer", 525, 2_547_801_226),
    "zhihan1996/DNA_bert_3": ("bert", 206, 86_686_533),
    "zhihan1996/DNA_bert_4": ("bert", 206, 86_834_181),
    "zhihan1996/DNA_bert_5": ("bert", 206, 87_424_773),
    "zhihan1996/DNA_bert_6": ("bert", 206, 89_787_141),
    "facebook/esm2_t6_8M_UR50D": ("esm2", 114, 7_840_794),
    "facebook/esm2_t12_35M_UR50D": ("esm2", 216, 33_993_874),
    "facebook/esm2_t30_150M_UR50D": ("esm2", 522, 148_796_794),
    "facebook/esm2_t33_650M_UR50D": ("esm2", 573, 652_356_534),
    "facebook/esm2_t36_3B_UR50D": ("esm2", 624, 2_841_632_194),
}
"""Family, tensors in the file, parameters."""

SAMPLES = {
    "zhihan1996/DNABERT-2-117M": {
        "bert.embeddings.word_embeddings.weight": (4096, 768),
        "bert.embeddings.token_type_embeddings.weight": (2, 768),
        "bert.encoder.layer.0.attention.self.Wqkv.weight": (2304, 768),
        "bert.encoder.layer.11.mlp.gated_layers.weight": (6144, 768),
        "bert.encoder.layer.11.mlp.wo.bias": (768,),
        "bert.encoder.layer.5.mlp.layernorm.weight": (768,),
        "cls.predictions.decoder.weight": (4096, 768),
        "cls.predictions.decoder.bias": (4096,),
    },
    f"{NT}v2-100m-multi-species": {
        "esm.embeddings.word_embeddings.weight": (4107, 512),
        "esm.embeddings.position_embeddings.weight": (2050, 512),
        "esm.encoder.layer.21.attention.self.rotary_embeddings.inv_freq": (16,),
        "esm.encoder.layer.21.intermediate.dense.weight": (4096, 512),
        "esm.encoder.layer.0.output.dense.weight": (512, 2048),
        "esm.contact_head.regression.weight": (1, 352),
        "lm_head.decoder.weight": (4107, 512),
        "lm_head.bias": (4107,),
    },
    f"{NT}2.5b-multi-species": {
        "esm.embeddings.position_embeddings.weight": (1002, 2560),
        "esm.embeddings.position_ids": (1, 1002),
        "esm.encoder.layer.31.intermediate.dense.bias": (10240,),
        "esm.contact_head.regression.weight": (1, 640),
        "lm_head.decoder.weight": (4105, 2560),
    },
    "zhihan1996/DNA_bert_6": {
        "bert.embeddings.word_embeddings.weight": (4101, 768),
        "bert.embeddings.position_embeddings.weight": (512, 768),
        "bert.encoder.layer.11.attention.self.value.bias": (768,),
        "bert.pooler.dense.weight": (768, 768),
        "cls.predictions.bias": (4101,),
        "cls.predictions.decoder.bias": (4101,),
    },
    "facebook/esm2_t33_650M_UR50D": {
        "esm.embeddings.word_embeddings.weight": (33, 1280),
        "esm.embeddings.position_embeddings.weight": (1026, 1280),
        "esm.encoder.layer.32.attention.self.query.weight": (1280, 1280),
        "esm.encoder.layer.32.attention.self.rotary_embeddings.inv_freq": (32,),
        "esm.encoder.layer.0.output.dense.weight": (1280, 5120),
        "esm.encoder.emb_layer_norm_after.weight": (1280,),
        "esm.contact_head.regression.weight": (1, 660),
    },
}


def test_the_registry_lists_these_checkpoints_and_no_others():
    assert list(known_checkpoints()) == list(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_inventory_has_the_published_figures(name):
    family, tensors, parameters = FIGURES[name]
    known, inventory = known_checkpoint(name), official_inventory(name)
    assert (known.family, known.tensors, known.parameters) == (family, tensors, parameters)
    assert len(inventory.shapes) == tensors
    assert inventory.parameters == parameters


@pytest.mark.parametrize("name", SAMPLES)
def test_inventories_have_official_names_and_shapes(name):
    shapes = official_inventory(name).shapes
    assert {tensor: shapes.get(tensor) for tensor in SAMPLES[name]} == SAMPLES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_the_family_accepts_the_whole_inventory_of_each_checkpoint(name):
    """On meta tensors: nothing missing, unexpected or misshapen; repeats need values, so they are left out."""
    known, inventory = known_checkpoint(name), official_inventory(name)
    names = inventory.shapes.keys() - inventory.repeats.keys()
    if known.family == "nucleotide_transformer":
        assert "lm_head.decoder.weight" in inventory.read
    tensors = {tensor: torch.empty(inventory.shapes[tensor], device="meta") for tensor in names}
    family = choose_family("auto", tensors, name)
    assert family.name == known.family
    encoder = family.load(known.configuration, tensors, name)
    assert encoder.architecture.n_layers == known.configuration["num_hidden_layers"]
    if known.family == "nucleotide_transformer":
        assert (encoder.architecture.position == "learned") == ("v2" not in name)
        assert encoder.architecture.position_offset == (0 if "v2" in name else 2)


def safetensors_size(shapes: dict[str, tuple[int, ...]]) -> int:
    """Bytes of a safetensors file of float32 tensors: length, header (padded to 8), data."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(shapes):
        end = offset + 4 * math.prod(shapes[name])
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [offset, end]}
        offset = end
    length = len(json.dumps(header, separators=(",", ":")))
    return 8 + (length + 7) // 8 * 8 + offset


def test_the_published_file_sizes_are_those_of_the_inventories():
    fifty_million = f"{NT}v2-50m-multi-species"
    assert safetensors_size(official_inventory(fifty_million).shapes) == known_checkpoint(fifty_million).bytes
    # A pickled archive: the tied matrix is stored once, and names and records take some 400 bytes a tensor.
    dnabert2 = known_checkpoint("zhihan1996/DNABERT-2-117M")
    assert dnabert2.bytes - 4 * dnabert2.parameters == 58_279


def test_an_unknown_name_is_refused_with_the_closest_known_ones():
    with pytest.raises(UsageError, match=r"did you mean zhihan1996/DNABERT-2-117M\?$"):
        known_checkpoint("zhihan1996/DNABERT-2-117m")
    with pytest.raises(UsageError, match=r"known are zhihan1996/DNABERT-2-117M, .*esm2_t36_3B_UR50D$"):
        known_checkpoint("openai/gpt2")
    with pytest.raises(MintsError, match=r": no published .* by that name, did you mean facebook/esm2_t6_8M_UR50D"):
        load_model("facebook/esm2_t6_8M_UR50")
    with pytest.raises(MintsError, match=r"zhihan1996/DNA_bert_6 .*: fetch it first$"):
        load_model("zhihan1996/DNA_bert_6")


def test_sizes_between_two_checkpoints_go_to_the_nearer_one():
    family = NUCLEOTIDE_TRANSFORMER.name
    assert nearest(family, known_checkpoint(f"{NT}v2-250m-multi-species").configuration).name.endswith(
        "v2-250m-multi-species"
    )
    sizes = {"vocab_size": 4107, "hidden_size": 512, "num_hidden_layers": 20}
    assert nearest(family, sizes).name == f"{NT}v2-100m-multi-species"
    assert nearest(family, sizes | {"num_hidden_layers": 13}).name == f"{NT}v2-50m-multi-species"
    assert nearest(family, sizes | {"vocab_size": 4105, "hidden_size": 2400}).name == f"{NT}2.5b-1000g"
    assert nearest(family, {"vocab_size": 4107}) is None


def test_tensors_that_do_not_fit_are_held_against_the_inventory_of_their_size():
    name = f"{NT}v2-100m-multi-species"
    known, shapes = known_checkpoint(name), official_inventory(name).shapes
    tensors = {tensor: torch.empty(shape, device="meta") for tensor, shape in shapes.items()}
    del tensors["esm.encoder.layer.21.output.dense.weight"]
    with pytest.raises(MintsError) as refusal:
        NUCLEOTIDE_TRANSFORMER.load(known.configuration, tensors, "./nt")
    assert str(refusal.value) == (
        "checkpoint ./nt is not Nucleotide Transformer: 1 tensor missing (esm.encoder.layer.21.output.dense.weight);"
        f" expected the 342-tensor inventory of {name}"
    )
    larger = known.configuration | {"num_hidden_layers": 23}
    with pytest.raises(MintsError, match=rf"the nearest known checkpoint is {name}, of 342 tensors$"):
        NUCLEOTIDE_TRANSFORMER.load(larger, tensors, "./nt")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_the_tensors_of_another_architecture_are_refused_with_families_and_known_names(family):
    gpt = {
        "transformer.wte.weight": torch.zeros(50, 8),
        "transformer.h.0.attn.c_attn.weight": torch.zeros(8, 24),
        "transformer.h.0.mlp.c_fc.weight": torch.zeros(8, 32),
    }
    with pytest.raises(MintsError) as refusal:
        choose_family("auto", gpt, "./gpt")
    message = str(refusal.value)
    assert message.startswith("checkpoint ./gpt is of no known family: its tensors are transformer.h.0.attn")
    assert family.title in message
    assert all(name in message for name in FIGURES)
    assert "\n" not in message
    with pytest.raises(
        MintsError, match=rf"is not {family.title}.*expected the \d+-tensor inventory of {family.reference}$"
    ):
        family.load({}, gpt, "./gpt")


def test_the_reference_of_each_family_is_a_known_checkpoint_of_it():
    for family in (DNABERT2, NUCLEOTIDE_TRANSFORMER, ESM2, BERT):
        assert known_checkpoint(family.reference).family == family.name
