"""Bonito's transformer basecallers: exact values, official files, partial runs, interventions."""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mints.errors import MintsError, UsageError
from mints.models.basecaller import Basecaller, load_basecaller, randomly_initialised, save_basecaller
from mints.models.basecaller.files import ALPHA, official_state, rules, toml_lines
from mints.models.basecaller.settings import parse_config
from mints.models.compute import Compute

MACHINE_EPSILON = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def write(golden, tmp_path):
    """Write a model folder from the golden model, changed by what is given."""

    def write_folder(change=None, rename=None, weights=None, number=1):
        vectors = golden("bonito_transformer")
        config = copy.deepcopy(vectors.configuration) | {"mints": {"norm_epsilon": MACHINE_EPSILON}}
        if change is not None:
            change(config)
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text("\n".join(toml_lines(config)) + "\n")
        tensors = vectors.weights if weights is None else weights
        torch.save({(rename or str)(name): value for name, value in tensors.items()}, folder / f"weights_{number}.tar")
        return folder

    return write_folder


@pytest.fixture
def basecaller(write):
    return load_basecaller(write()).basecaller


def ctc_config(config):
    config["model"] = {"package": "bonito.ctc", "encoder": config["model"]["encoder"]}
    del config["model"]["encoder"]["crf"]
    config["labels"] = {"labels": ["N", "A", "C", "G", "T"]}


@pytest.mark.parametrize("fused", [False, True])
def test_every_stage_is_that_of_bonito(golden, write, fused):
    io = golden("bonito_transformer").io
    basecaller = load_basecaller(write(), fused_attention=fused).basecaller
    with torch.inference_mode():
        output = basecaller.run(io["signal"][:, 0], sites=["blocks.*.hook_resid_*"])
        upsampled = basecaller.upsample(output.cache["blocks.1.hook_resid_post"])
    stages = {
        "out.encoder.conv": output.cache["blocks.0.hook_resid_pre"],
        "out.encoder.transformer_encoder.0": output.cache["blocks.0.hook_resid_post"],
        "out.encoder.transformer_encoder.1": output.cache["blocks.1.hook_resid_post"],
        "out.encoder.upsample": upsampled,
        "scores": output.scores,
    }
    assert set(stages) | {"signal"} == set(io)
    for name, ours in stages.items():
        largest = float(io[name].abs().max())
        assert float((ours - io[name]).abs().max()) < 1e-5 * max(1.0, largest), name


def test_the_norms_epsilon_is_a_setting_that_shows(golden, write):
    def default(config):
        del config["mints"]

    io, basecaller = golden("bonito_transformer").io, load_basecaller(write(default)).basecaller
    assert basecaller.encoder.architecture.norm_epsilon == 1e-5
    difference = (basecaller.run(io["signal"][:, 0]).scores - io["scores"]).abs().max()
    assert 1e-4 < difference < 1e-1


def test_strides_states_and_settings_are_those_of_the_file(write, golden):
    def standardised(config):
        config["standardisation"] = {"standardise": 1, "mean": 93.7, "stdev": 23.5}

    loaded = load_basecaller(write(standardised))
    assert loaded.normalisation["strategy"] == "pa"
    assert (loaded.normalisation["standardise"], loaded.normalisation["mean"]) == (True, 93.7)
    assert loaded.normalisation["standard_deviation"] == 23.5
    assert loaded.sample_rate == 5000
    basecaller = loaded.basecaller
    assert (basecaller.stride, basecaller.samples_per_score, basecaller.state_length) == (12, 6, 2)
    assert basecaller.alphabet == ("N", "A", "C", "G", "T")
    signal = golden("bonito_transformer").io["signal"][:, 0]
    assert basecaller.embed(signal).shape[1] * basecaller.stride == signal.shape[1]
    assert len(basecaller.run(signal).scores) * basecaller.samples_per_score == signal.shape[1]


PUBLISHED = {
    "encoder.conv.0.conv.weight": (64, 1, 5), "encoder.conv.1.conv.weight": (64, 64, 5),
    "encoder.conv.2.conv.weight": (128, 64, 9), "encoder.conv.3.conv.weight": (128, 128, 9),
    "encoder.conv.4.conv.weight": (512, 128, 5), "encoder.upsample.linear.weight": (1024, 512),
    "encoder.upsample.linear.bias": (1024,), "encoder.crf.linear.weight": (4096, 512),
}  # fmt: skip
PUBLISHED |= {
    f"encoder.conv.{i}.{name}": (width,)
    for i, width in enumerate((64, 64, 128, 128, 512))
    for name in ("conv.bias", "norm.bn.weight", "norm.bn.bias", "norm.bn.running_mean", "norm.bn.running_var")
}
PUBLISHED |= {f"encoder.conv.{i}.norm.bn.num_batches_tracked": () for i in range(5)}
PUBLISHED |= {
    f"encoder.transformer_encoder.{layer}.{name}": shape
    for layer in range(18)
    for name, shape in {
        "deepnorm_alpha": (), "self_attn.Wqkv.weight": (1536, 512), "self_attn.out_proj.weight": (512, 512),
        "self_attn.out_proj.bias": (512,), "ff.fc1.weight": (4096, 512), "ff.fc2.weight": (512, 2048),
        "norm1.weight": (512,), "norm2.weight": (512,),
    }.items()
}  # fmt: skip


def test_the_published_configuration_has_the_published_tensors(golden):
    config = copy.deepcopy(golden("bonito_transformer").configuration)
    encoder = config["model"]["encoder"]
    widths = [1, 64, 64, 128, 128, 512]
    for layer, insize, size in zip(encoder["conv"]["sublayers"], widths, widths[1:], strict=False):
        layer |= {"insize": insize, "size": size}
    encoder["transformer_encoder"]["depth"] = 18
    encoder["transformer_encoder"]["layer"] |= {
        "d_model": 512, "nhead": 8, "dim_feedforward": 2048, "attn_window": [127, 128]
    }  # fmt: skip
    encoder["upsample"]["d_model"] = encoder["crf"]["insize"] = 512
    encoder["crf"]["state_len"] = config["model"]["seqdist"]["state_len"] = 5
    with torch.device("meta"):
        basecaller = Basecaller(parse_config(config, "published"))
        scores = basecaller(torch.empty(2, 12_000))
    state = basecaller.state_dict()
    shapes = {rule.official[0]: tuple(state[rule.ours].shape) for rule in rules(basecaller)}
    assert shapes == {name: shape for name, shape in PUBLISHED.items() if not name.endswith("deepnorm_alpha")}
    assert sorted(set(PUBLISHED) - set(shapes)) == sorted(ALPHA.format(layer=layer) for layer in range(18))
    assert tuple(scores.shape) == (2000, 2, 5 * 4**5)


def test_run_from_any_layer_equals_the_full_run_exactly(basecaller, golden):
    signal = golden("bonito_transformer").io["signal"][:, 0]
    full = basecaller.run(signal, sites=["*"])
    for layer in range(2):
        entry = full.cache[f"blocks.{layer}.hook_resid_pre"]
        part = basecaller.run_from(layer, entry, sites=["blocks.1.*"])
        assert torch.equal(part.scores, full.scores)
        assert all(torch.equal(value, full.cache[site]) for site, value in part.cache.items())
    assert torch.equal(basecaller.run_from(0, basecaller.embed(signal)).scores, full.scores)
    last = full.cache["blocks.1.hook_resid_post"]
    assert torch.equal(basecaller.run_from(2, last).scores, full.scores)
    assert torch.equal(basecaller.scores_of(last), full.scores)


def test_a_patched_head_is_that_of_a_raw_product_on_the_weights(basecaller, golden):
    signal = golden("bonito_transformer").io["signal"][:, 0]
    plain = basecaller.run(signal, sites=["blocks.1.*"])
    patch = {"blocks.1.attn.hook_z": lambda z: z.index_fill(2, torch.tensor([2]), 0.0)}
    silenced = basecaller.run(signal, sites=["blocks.1.hook_attn_out"], interventions=patch)
    weight = basecaller.encoder.blocks[1].attn.output.weight[:, 16:24]
    written = plain.cache["blocks.1.attn.hook_z"][:, :, 2] @ weight.T
    torch.testing.assert_close(
        silenced.cache["blocks.1.hook_attn_out"], plain.cache["blocks.1.hook_attn_out"] - written, atol=1e-5, rtol=1e-5
    )
    assert (silenced.scores - plain.scores).abs().max() > 1e-3
    no_op = basecaller.run(signal, interventions={"blocks.*": lambda value: value.clone()})
    assert torch.equal(no_op.scores, plain.scores)


def test_the_last_layers_residual_of_another_read_gives_its_scores(basecaller, golden):
    signal = golden("bonito_transformer").io["signal"][:, 0]
    other = basecaller.run(signal.flip(0), sites=["blocks.1.hook_resid_post"])
    patch = {"blocks.1.hook_resid_post": lambda _: other.cache["blocks.1.hook_resid_post"]}
    assert torch.equal(basecaller.run(signal, interventions=patch).scores, other.scores)


def test_a_site_that_is_not_there_is_an_error(basecaller, golden):
    with pytest.raises(UsageError, match="no site matches 'hook_embed'"):
        basecaller.run(golden("bonito_transformer").io["signal"][:, 0], sites=["hook_embed"])


def test_a_read_does_not_depend_on_the_others_of_its_batch(basecaller, golden):
    signal = golden("bonito_transformer").io["signal"][:, 0]
    together = basecaller.run(signal).scores
    alone = torch.cat([basecaller.run(row[None]).scores for row in signal], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)


def test_the_norms_statistics_are_those_of_the_file(golden, write):
    weights = dict(golden("bonito_transformer").weights)
    weights["encoder.conv.4.norm.bn.running_mean"] = weights["encoder.conv.4.norm.bn.running_mean"] + 0.5
    shifted, plain = load_basecaller(write(weights=weights)).basecaller, load_basecaller(write()).basecaller
    signal = golden("bonito_transformer").io["signal"][:, 0]
    layer = plain.front.layers[4]
    x = signal[:, None]
    for before in plain.front.layers[:4]:
        x = before(x)
    convolved = layer.conv(x) - layer.norm.running_mean[:, None] - 0.5
    scaled = convolved / (layer.norm.running_var[:, None] + 1e-5).sqrt()
    expected = torch.nn.functional.silu(scaled * layer.norm.weight[:, None] + layer.norm.bias[:, None])
    torch.testing.assert_close(shifted.embed(signal), expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_stays_have_scores_of_their_own_without_a_blank_score(golden, write):
    def learnt_stays(config):
        del config["model"]["encoder"]["crf"]["blank_score"]
        config["model"]["encoder"]["crf"]["activation"] = "tanh"

    weights = dict(golden("bonito_transformer").weights)
    weights["encoder.crf.linear.weight"] = torch.randn(80, 32, generator=torch.Generator().manual_seed(0))
    basecaller = load_basecaller(write(learnt_stays, weights=weights)).basecaller
    output = basecaller.run(golden("bonito_transformer").io["signal"][:, 0], sites=["blocks.1.hook_resid_post"])
    x = basecaller.upsample(output.cache["blocks.1.hook_resid_post"]).permute(1, 0, 2)
    expected = 5 * torch.tanh(x @ weights["encoder.crf.linear.weight"].T)
    torch.testing.assert_close(output.scores, expected, atol=1e-4, rtol=1e-5)


def test_a_ctc_head_gives_label_probabilities(golden, write):
    weights = {n: v for n, v in golden("bonito_transformer").weights.items() if not n.startswith("encoder.crf")}
    generator = torch.Generator().manual_seed(0)
    weights["decoder.layers.0.weight"] = torch.randn(5, 32, 1, generator=generator)
    weights["decoder.layers.0.bias"] = torch.randn(5, generator=generator)
    folder = write(ctc_config, weights=weights)
    basecaller = load_basecaller(folder).basecaller
    signal = golden("bonito_transformer").io["signal"][:, 0]
    output = basecaller.run(signal, sites=["blocks.1.hook_resid_post"])
    x = basecaller.upsample(output.cache["blocks.1.hook_resid_post"]).permute(1, 0, 2)
    expected = x @ weights["decoder.layers.0.weight"][:, :, 0].T + weights["decoder.layers.0.bias"]
    torch.testing.assert_close(output.scores, expected.log_softmax(-1), atol=1e-5, rtol=1e-5)
    assert basecaller.state_length is None
    save_basecaller(folder / "again", basecaller)
    assert torch.equal(load_basecaller(folder / "again").basecaller(signal), output.scores)


def test_official_names_and_values_survive_loading_and_saving(basecaller, golden, tmp_path):
    weights = golden("bonito_transformer").weights
    state = official_state(basecaller)
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_same_model_gives_the_same_bytes_and_values(basecaller, golden, tmp_path, dtype):
    signal = golden("bonito_transformer").io["signal"][:, 0]
    save_basecaller(tmp_path / "first", basecaller, dtype)
    loaded = load_basecaller(tmp_path / "first")
    save_basecaller(tmp_path / "second", loaded.basecaller, dtype)
    for name in ("config.toml", "weights_1.tar"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    tolerance = {"atol": 0.0, "rtol": 0.0} if dtype == torch.float32 else {"atol": 0.5, "rtol": 0.0}
    torch.testing.assert_close(loaded.basecaller(signal), basecaller(signal), **tolerance)
    assert loaded.weights_sha256 == load_basecaller(tmp_path / "second").weights_sha256


def test_the_last_weights_are_taken_and_module_prefixes_dropped(golden, write):
    weights = {name: value * 0 for name, value in golden("bonito_transformer").weights.items()}
    write(weights=weights, number=9)
    folder = write(rename=lambda name: f"module.{name}", number=10)
    signal = golden("bonito_transformer").io["signal"][:, 0]
    scores = load_basecaller(folder).basecaller(signal)
    torch.testing.assert_close(scores, golden("bonito_transformer").io["scores"], atol=1e-4, rtol=1e-5)


def test_missing_unexpected_and_misshapen_tensors_are_named(golden, write):
    weights = dict(golden("bonito_transformer").weights)
    del weights["encoder.transformer_encoder.1.ff.fc2.weight"]
    weights["encoder.lstm.weight"] = torch.zeros(2)
    weights["encoder.crf.linear.weight"] = torch.zeros(16, 32)
    with pytest.raises(MintsError) as failure:
        load_basecaller(write(weights=weights))
    message = str(failure.value)
    assert "1 tensor missing (encoder.transformer_encoder.1.ff.fc2.weight)" in message
    assert "1 tensor unexpected (encoder.lstm.weight)" in message
    assert "1 tensor misshapen (encoder.crf.linear.weight is (16, 32), not (64, 32))" in message
    assert "\n" not in message


def test_weights_of_another_depths_deepnorm_are_refused(golden, write):
    weights = dict(golden("bonito_transformer").weights)
    weights["encoder.transformer_encoder.1.deepnorm_alpha"] = torch.tensor(1.5)
    with pytest.raises(MintsError, match=r"deepnorm_alpha is 1\.5, 2\.44949 in the weights, 2\.4494897 in config"):
        load_basecaller(write(weights=weights))


def test_a_weights_file_that_would_run_code_is_refused(write):
    folder = write()
    torch.save({"encoder.conv.0.conv.bias": print}, folder / "weights_2.tar")
    with pytest.raises(MintsError, match=r"weights_2\.tar cannot be read as weights.*only tensors"):
        load_basecaller(folder)


def edited(*path, to):
    def change(config):
        for key in path[:-1]:
            config = config[key]
        if to is None:
            del config[path[-1]]
        else:
            config[path[-1]] = to

    return change


ENCODER = ("model", "encoder")
FAULTS = [
    (edited(*ENCODER, "crf", "insize", to=None), r"model\.encoder\.crf\.insize: Field required"),
    (edited(*ENCODER, "crf", to=None), r"needs the tables encoder\.crf and seqdist"),
    (edited(*ENCODER, "transformer_encoder", to=None), r"model\.encoder\.transformer_encoder: Field required"),
    (
        edited(*ENCODER, "conv", "sublayers", 1, "type", to="lstm"),
        r"sublayers\.1.*'lstm' found using 'type' does not match",
    ),
    (edited(*ENCODER, "conv", "sublayers", 1, "dilation", to=2), r"sublayers\.1\.convolution\.dilation.*not permitted"),
    (edited(*ENCODER, "conv", "sublayers", 2, "insize", to=5), "the sizes do not fit"),
    (edited(*ENCODER, "upsample", "d_model", to=16), "upsample is 16 wide, the transformer 32"),
    (edited(*ENCODER, "upsample", "scale_factor", to=5), "do not divide by the scale_factor 5"),
    (edited(*ENCODER, "transformer_encoder", "layer", "nhead", to=5), "width 32 is not a multiple of 5 heads"),
    (edited("model", "seqdist", "state_len", to=3), r"seqdist has states of 3 bases, encoder\.crf of 2"),
    (edited("model", "seqdist", "alphabet", to=["N", "A", "C", "G", "U"]), "alphabet is N, A, C, G, U"),
    (edited("model", "package", to="bonito.crf"), r"model\.package: Input should be.*found 'bonito\.crf'"),
    (edited("run_info", to=None), "run_info: Field required"),
    (edited("scaling", "strategy", to="none"), r"scaling\.strategy"),
    (edited("block", to=[{"filters": 256}]), "convolutional CTC models"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_wrong_configuration_is_one_clear_line(write, change, message):
    with pytest.raises(MintsError, match=message) as failure:
        load_basecaller(write(change))
    assert "\n" not in str(failure.value)
    assert "config.toml" in str(failure.value)


def test_a_folder_without_its_files_is_one_clear_line(tmp_path, write):
    with pytest.raises(MintsError, match=r"config\.toml does not exist: expected an unpacked Bonito model folder"):
        load_basecaller(tmp_path)
    folder = write()
    (folder / "weights_1.tar").unlink()
    with pytest.raises(MintsError, match=r"has no weights_N\.tar"):
        load_basecaller(folder)
    (folder / "config.toml").write_text("[model")
    with pytest.raises(MintsError, match=r"config\.toml cannot be read as TOML"):
        load_basecaller(folder)


def test_tables_of_training_and_basecalling_runs_are_kept(write, tmp_path):
    basecaller = load_basecaller(write()).basecaller
    save_basecaller(tmp_path / "saved", basecaller)
    text = (tmp_path / "saved" / "config.toml").read_text()
    assert "[qscore]\nscale = 1.05\nbias = 1.3\n" in text
    assert "[basecaller]\nbatchsize = 128\n" in text
    assert load_basecaller(tmp_path / "saved").basecaller.config == basecaller.config


def test_work_is_what_torch_counts(basecaller, golden):
    basecaller.requires_grad_(False)
    compute = Compute(torch.device("cpu"), "fp32")
    with FlopCounterMode(display=False) as counter, compute.inference():
        basecaller(golden("bonito_transformer").io["signal"][:, 0])
    assert compute.work.floating_point_operations == counter.get_total_flops()
    assert (compute.work.passes, compute.work.tokens) == (1, 150)


def test_initial_weights_are_smaller_by_deepnorms_gain(basecaller):
    config = basecaller.config
    fresh, again = (randomly_initialised(config, seed=3).requires_grad_(False) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), again.state_dict().values(), strict=True))
    attention = fresh.encoder.blocks[0].attn
    queries, values = attention.qkv.weight[:64].std(), attention.qkv.weight[64:].std()
    assert float(queries) == pytest.approx(32**-0.5, rel=0.1)
    assert float(values / queries) == pytest.approx(0.2886751, rel=0.1)
    assert float(fresh.encoder.blocks[1].mlp.output.weight.std()) == pytest.approx(0.2886751 * (2 / 80) ** 0.5, rel=0.1)
    assert float(attention.output.bias.abs().max()) == 0.0
