"""Families against their reference implementations, and the refusals of what does not fit."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, EsmConfig, EsmForMaskedLM

from mints.errors import MintsError, UsageError
from mints.models.encoder import randomly_initialised
from mints.models.families import FAMILIES, choose_family
from mints.models.families.bert import BERT
from mints.models.families.dnabert2 import DNABERT2
from mints.models.families.esm import ESM2, NUCLEOTIDE_TRANSFORMER

close = {"atol": 1e-5, "rtol": 1e-5}
GOLDEN_FAMILIES = {
    "dnabert2_12head": DNABERT2,
    "dnabert2_4head": DNABERT2,
    "esm2": ESM2,
    "nucleotide_transformer_v2": NUCLEOTIDE_TRANSFORMER,
}


@pytest.mark.parametrize("name", ["dnabert2_12head", "dnabert2_4head"])
@pytest.mark.parametrize("fused", [False, True])
def test_dnabert2_reproduces_every_hidden_state_and_the_logits(golden, name, fused):
    vectors = golden(name)
    encoder = DNABERT2.load(vectors.configuration, vectors.weights, name)
    encoder.fused_attention = fused
    real = vectors.io["attention_mask"].bool()
    output = encoder.run(vectors.io["input_ids"], real, sites=["blocks.*.hook_resid_post"])
    for layer in range(2):
        ours = output.cache[f"blocks.{layer}.hook_resid_post"][real]
        torch.testing.assert_close(ours, vectors.io[f"hidden_after_layer_{layer}"], **close)
    torch.testing.assert_close(encoder.logits(output.residual)[real], vectors.io["logits"], **close)


@pytest.mark.parametrize("name", ["esm2", "nucleotide_transformer_v2"])
@pytest.mark.parametrize("fused", [False, True])
def test_esm_families_reproduce_hidden_states_patterns_and_logits(golden, name, fused):
    vectors = golden(name)
    encoder = GOLDEN_FAMILIES[name].load(vectors.configuration, vectors.weights, name)
    encoder.fused_attention = fused
    real = vectors.io["attention_mask"].bool()
    sites = ["hook_embed", "blocks.*.hook_resid_post", "blocks.*.attn.hook_pattern", "ln_final.hook_out"]
    output = encoder.run(vectors.io["input_ids"], real, sites=sites)
    hidden = [output.cache["hook_embed"], output.cache["blocks.0.hook_resid_post"], output.cache["ln_final.hook_out"]]
    for index, ours in enumerate(hidden):
        torch.testing.assert_close(ours[real], vectors.io[f"hidden_state_{index}"][real], **close)
    pairs = real[:, None, :, None] & real[:, None, None, :]
    for layer in range(2):
        pattern = output.cache[f"blocks.{layer}.attn.hook_pattern"]
        torch.testing.assert_close(pattern * pairs, vectors.io[f"attention_{layer}"] * pairs, **close)
    torch.testing.assert_close(encoder.logits(output.residual)[real], vectors.io["logits"][real], **close)


def ragged_batch(vocabulary: int, pad_id: int, lowest: int = 5):
    generator = torch.Generator().manual_seed(3)
    lengths = [17, 9, 1, 12]
    tokens = torch.full((4, 17), pad_id)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(lowest, vocabulary, (length,), generator=generator)
    return tokens, tokens != pad_id


def scattered(model):
    """Weights far from their initial values, so that norms and biases matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def test_bert_equals_transformers_on_random_weights():
    configuration = BertConfig(
        vocab_size=69, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=20, attn_implementation="eager",
    )  # fmt: skip
    reference = scattered(BertForMaskedLM(configuration))
    encoder = BERT.load(configuration.to_dict(), reference.state_dict(), "random BERT")
    tokens, real = ragged_batch(69, 0)
    expected = reference(tokens, attention_mask=real.long(), output_hidden_states=True, output_attentions=True)
    output = encoder.run(tokens, real, sites=["hook_embed", "blocks.*.hook_resid_post", "blocks.*.attn.hook_pattern"])
    ours = [output.cache["hook_embed"], *(output.cache[f"blocks.{layer}.hook_resid_post"] for layer in range(3))]
    for mine, theirs in zip(ours, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[real], theirs[real], **close)
    for layer in range(3):
        keys = real[:, None, :, None] & real[:, None, None, :]
        pattern = output.cache[f"blocks.{layer}.attn.hook_pattern"]
        torch.testing.assert_close(pattern * keys, expected.attentions[layer] * keys, **close)
    torch.testing.assert_close(encoder.logits(output.residual)[real], expected.logits[real], **close)


@pytest.mark.parametrize("position", ["absolute", "rotary"])
@pytest.mark.parametrize("norm_before", [False, True])
def test_plain_esm_equals_transformers_so_nucleotide_transformer_v1_and_esm2_do(position, norm_before):
    configuration = EsmConfig(
        vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=36,
        max_position_embeddings=30, position_embedding_type=position, emb_layer_norm_before=norm_before,
        token_dropout=True, mask_token_id=2, pad_token_id=1, attn_implementation="eager",
    )  # fmt: skip
    reference = scattered(EsmForMaskedLM(configuration))
    family = NUCLEOTIDE_TRANSFORMER if position == "absolute" else ESM2
    encoder = family.load(configuration.to_dict(), reference.state_dict(), "random ESM")
    tokens, real = ragged_batch(40, 1, lowest=3)
    tokens[0, 4] = tokens[1, 2] = 2
    expected = reference(tokens, attention_mask=real.long(), output_hidden_states=True)
    output = encoder.run(tokens, real, sites=["blocks.0.hook_resid_post"])
    torch.testing.assert_close(output.cache["blocks.0.hook_resid_post"][real], expected.hidden_states[1][real], **close)
    torch.testing.assert_close(encoder.logits(output.residual)[real], expected.logits[real], **close)


@pytest.mark.parametrize("name", list(GOLDEN_FAMILIES))
def test_official_names_survive_loading_and_saving(golden, name):
    vectors, family = golden(name), GOLDEN_FAMILIES[name]
    official = family.official_state(family.load(vectors.configuration, vectors.weights, name))
    assert set(official) <= set(vectors.weights)
    for tensor_name, tensor in official.items():
        assert torch.equal(tensor, vectors.weights[tensor_name]), tensor_name
    left_out = set(vectors.weights) - set(official)
    assert all(
        part.endswith(("decoder.weight", "inv_freq")) or "contact_head" in part or "position_embeddings" in part
        for part in left_out
    )


def test_prefixes_may_be_left_out_and_module_prefixes_are_dropped(golden):
    vectors = golden("dnabert2_4head")
    bare = {name.removeprefix("bert."): tensor for name, tensor in vectors.weights.items()}
    wrapped = {f"module.{name}": tensor for name, tensor in vectors.weights.items()}
    expected = DNABERT2.load(vectors.configuration, vectors.weights, "full").state_dict()
    for variant in (bare, wrapped):
        state = DNABERT2.load(vectors.configuration, variant, "variant").state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_tied_matrix_in_half_precision_is_still_seen_as_tied(golden):
    vectors = golden("dnabert2_4head")
    halves = {name: tensor.half() for name, tensor in vectors.weights.items()}
    assert "cls.predictions.decoder.weight" in halves
    encoder = DNABERT2.load(vectors.configuration, halves, "half")
    assert encoder.embed.weight.dtype == torch.float32
    assert torch.equal(encoder.embed.weight, halves["bert.embeddings.word_embeddings.weight"].float())
    halves["cls.predictions.decoder.weight"] = halves["cls.predictions.decoder.weight"] + 1
    with pytest.raises(MintsError, match=r"1 tensor unexpected \(cls\.predictions\.decoder\.weight\)"):
        DNABERT2.load(vectors.configuration, halves, "untied")


def test_a_checkpoint_without_its_head_loads_and_says_so_when_asked_for_logits(golden):
    vectors = golden("dnabert2_4head")
    headless = {name: tensor for name, tensor in vectors.weights.items() if not name.startswith("cls.")}
    encoder = DNABERT2.load(vectors.configuration, headless, "headless")
    assert encoder.head is None
    with pytest.raises(ValueError, match="no masked-language head"):
        encoder(vectors.io["input_ids"])


def test_missing_unexpected_and_misshapen_tensors_are_named(golden):
    vectors = golden("dnabert2_4head")
    missing = "bert.encoder.layer.1.mlp.wo.bias"
    broken = {name: tensor for name, tensor in vectors.weights.items() if name != missing}
    broken["bert.encoder.layer.0.adapter.weight"] = torch.zeros(2)
    broken["bert.embeddings.LayerNorm.weight"] = torch.zeros(7)
    with pytest.raises(MintsError) as failure:
        DNABERT2.load(vectors.configuration, broken, "./broken")
    message = str(failure.value)
    assert f"1 tensor missing ({missing})" in message
    assert "1 tensor unexpected (bert.encoder.layer.0.adapter.weight)" in message
    assert "1 tensor misshapen (embed_norm.weight is (7,), not (24,))" in message
    assert "./broken is not DNABERT-2" in message
    assert "\n" not in message


def test_a_checkpoint_of_the_wrong_family_is_refused_with_its_tensors_named(golden):
    esm, bert = golden("esm2"), golden("dnabert2_4head")
    with pytest.raises(MintsError, match=r"is not DNABERT-2: .*tensors missing \(bert\.embeddings.*unexpected \(esm\."):
        DNABERT2.load(esm.configuration, esm.weights, "./esm")
    with pytest.raises(MintsError, match=r"is not Nucleotide Transformer.*unexpected \(bert\."):
        NUCLEOTIDE_TRANSFORMER.load(bert.configuration, bert.weights, "./bert")
    with pytest.raises(MintsError, match="is not BERT/DNABERT"):
        BERT.load(bert.configuration, bert.weights, "./dnabert2")


def test_a_swiglu_checkpoint_is_never_read_as_plain_esm(golden):
    vectors = golden("nucleotide_transformer_v2")
    with pytest.raises(MintsError, match="is not ESM-2"):
        ESM2.load(vectors.configuration, vectors.weights, "./nt")


@pytest.mark.parametrize("name", list(GOLDEN_FAMILIES))
def test_auto_recognises_each_family_by_its_tensors(golden, name):
    assert choose_family("auto", golden(name).weights, name) is GOLDEN_FAMILIES[name]


def test_unknown_families_and_unrecognised_tensors_are_refused():
    with pytest.raises(UsageError, match="unknown family 'gpt'"):
        choose_family("gpt", {}, "x")
    with pytest.raises(MintsError, match="of no known family"):
        choose_family("auto", {"transformer.h.0.attn": torch.zeros(1)}, "./gpt")


def test_a_missing_setting_is_named(golden):
    vectors = golden("esm2")
    configuration = {key: value for key, value in vectors.configuration.items() if key != "num_attention_heads"}
    with pytest.raises(MintsError, match=r"config.json has no 'num_attention_heads'"):
        ESM2.load(configuration, vectors.weights, "./esm")


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_written_configuration_reads_back_as_the_same_architecture(golden, name, tmp_path):
    source = {"nucleotide_transformer": "nucleotide_transformer_v2", "esm2": "esm2"}.get(name, "dnabert2_4head")
    family, vectors = FAMILIES[name], golden(source)
    if name == "bert":
        configuration = {**vectors.configuration, "max_position_embeddings": 20}
        architecture = BERT.architecture(configuration, {"cls.predictions.bias": torch.zeros(1)})
    else:
        architecture = family.load(vectors.configuration, vectors.weights, name).architecture
    encoder = randomly_initialised(architecture, seed=2)
    save_file(family.official_state(encoder), tmp_path / "model.safetensors")
    written = json.loads(json.dumps(family.configuration(architecture)))
    again = family.load(written, family.official_state(encoder), "written")
    assert again.architecture == architecture
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), encoder.state_dict().values(), strict=True)
    )
