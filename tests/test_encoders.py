"""Encoders: tiny networks with random weights, written as users' directories are; and a real one.

The tiny ones have the published convolutions (hop 320, 400 samples) with 8 channels. What they must
give comes from `transformers` itself, called plainly, with inputs normalised here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.encoders import KINDS, architecture, encoder_columns, load_encoder
from serfeat.errors import AudioError, FeatureError, ModelError, UnknownNameError
from serfeat.feature_sets import feature_set

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

SR = 16_000
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
TINY_WHISPER = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "vocab_size": 12,
    "max_target_positions": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def make_directory(folder: Path, kind: str, *, do_normalize: bool = False, **config: Any) -> Path:
    """A directory with a tiny random network and its feature extractor."""
    words = {**(TINY_WHISPER if kind == "whisper" else TINY), **config}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        name = KINDS[kind]
        model = getattr(transformers, name)(
            getattr(transformers, name.replace("Model", "Config"))(**words)
        )
    model.save_pretrained(folder)
    extractor = (
        transformers.WhisperFeatureExtractor()
        if kind == "whisper"
        else transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    )
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    made = {kind: make_directory(folder / kind, kind) for kind in KINDS}
    made["stable"] = make_directory(
        folder / "stable", "wavlm", do_normalize=True, do_stable_layer_norm=True,
        feat_extract_norm="layer",
    )  # fmt: skip
    return made


@pytest.fixture
def own(directories: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a directory, to be damaged."""
    return lambda kind: Path(shutil.copytree(directories[kind], tmp_path / kind))


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def plain(folder: Path, kind: str, x: np.ndarray) -> list[np.ndarray]:
    """The hidden states by transformers alone; Whisper with a table that is cut beforehand."""
    model = getattr(transformers, KINDS[kind]).from_pretrained(folder).eval()
    if kind != "whisper":
        given = torch.from_numpy(x)[None]
    else:
        extractor = transformers.WhisperFeatureExtractor()
        mel = extractor(x, sampling_rate=SR, padding="do_not_pad", return_tensors="pt")
        n = len(x) // 320
        weights = model.encoder.state_dict()
        weights["embed_positions.weight"] = weights["embed_positions.weight"][:n]
        config = transformers.WhisperConfig(**TINY_WHISPER, max_source_positions=n)
        model = type(model.encoder)(config).eval()
        model.load_state_dict(weights)
        given = mel.input_features[..., : 2 * n]
    with torch.no_grad():
        out = model(given, output_hidden_states=True)
    states = [*out.hidden_states[:-1], out.last_hidden_state]
    return [s[0].numpy() for s in states]


# ---------------------------------------------------------------------- states


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_transformers(directories: dict[str, Path], kind: str) -> None:
    """Seen to fail with the padded Whisper input, and with a hook on no first layer."""
    encoder = load_encoder(directories[kind])
    assert (encoder.kind, encoder.n_layers, encoder.width) == (kind, 3, 16)
    assert encoder.hop_s == 0.02
    x = noise(12_345)
    found, expected = encoder.states(x, SR), plain(directories[kind], kind, x)
    assert len(found) == len(expected) == 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [319, 320, 399, 400, 719, 720, 16_000, 16_079, 16_080])
def test_number_of_positions(directories: dict[str, Path], kind: str, n: int) -> None:
    """Seen to fail with a receptive field of 399 samples."""
    expected = n // 320 if kind == "whisper" else max(0, (n - 400) // 320 + 1)
    encoder = load_encoder(directories[kind])
    assert encoder.architecture.positions(n) == expected
    assert [s.shape for s in encoder.states(noise(n), SR)] == [(expected, 16)] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_upto_is_the_beginning_of_all(directories: dict[str, Path], kind: str) -> None:
    """Seen to fail with the hook stopping one layer later."""
    encoder, x = load_encoder(directories[kind]), noise(5000)
    everything = encoder.states(x, SR)
    for upto in range(4):
        some = encoder.states(x, SR, upto=upto)
        assert len(some) == upto + 1
        for a, b in zip(some, everything, strict=False):
            np.testing.assert_array_equal(a, b)
    assert [s.shape for s in encoder.states(noise(100), SR, upto=1)] == [(0, 16)] * 2


def test_last_state_is_after_the_final_norm(directories: dict[str, Path]) -> None:
    """Pre-norm networks: the rows have mean 0 and variance 1 times the norm's weights (1)."""
    last = load_encoder(directories["stable"]).states(noise(8000), SR)[-1]
    np.testing.assert_allclose(last.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(last.std(axis=1), 1, atol=1e-2)


def test_input_is_normalised_where_the_preprocessor_says_so(directories: dict[str, Path]) -> None:
    """Seen to fail when every piece is normalised, or when the preprocessor is not asked."""
    x = noise(8000)
    louder = 3 * x + np.float32(0.2)
    normalising, plain_one = load_encoder(directories["stable"]), load_encoder(directories["wavlm"])
    np.testing.assert_allclose(
        normalising.states(louder, SR)[-1], normalising.states(x, SR)[-1], atol=1e-4
    )
    y = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    expected = plain(directories["stable"], "wavlm", y.astype(np.float32))
    np.testing.assert_allclose(normalising.states(x, SR)[1], expected[1], atol=1e-5)
    assert np.abs(plain_one.states(louder, SR)[0] - plain_one.states(x, SR)[0]).max() > 1e-3
    rising = (x * np.linspace(0.1, 1, len(x))).astype(np.float32)  # 24 positions: 12 and 12
    y = ((rising - rising.mean()) / np.sqrt(rising.var() + 1e-7)).astype(np.float32)
    shape = normalising.architecture
    try:
        normalising.architecture = replace(shape, longest=12)
        pieced = normalising.states(rising, SR)
    finally:
        normalising.architecture = shape
    for first, part in ((0, y[: 11 * 320 + 400]), (12, y[12 * 320 :])):
        expected = plain(directories["stable"], "wavlm", part)
        np.testing.assert_allclose(pieced[1][first : first + 12], expected[1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_does_not_depend_on_others(directories: dict[str, Path], kind: str) -> None:
    encoder = load_encoder(directories[kind])
    first = encoder.states(noise(6000), SR)
    encoder.states(noise(9000, seed=1), SR)
    for a, b in zip(first, encoder.states(noise(6000), SR), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not encoder.module.training
    assert load_encoder(directories[kind]) is encoder  # once per process


@pytest.mark.parametrize("kind", KINDS)
def test_long_clips_are_cut_into_equal_pieces(directories: dict[str, Path], kind: str) -> None:
    """23 positions in pieces of 10 at most: 7, 8, 8. Seen to fail with pieces of one hop less."""
    encoder = load_encoder(directories[kind])
    x = noise(23 * 320 + 100)
    total = encoder.architecture.positions(len(x))
    assert total == 23
    try:
        encoder.architecture = replace(encoder.architecture, longest=10)
        pieced = encoder.states(x, SR)
    finally:
        encoder.architecture = architecture(str(directories[kind]))
    reach = encoder.architecture.receptive
    edges = [(0, 7), (7, 15), (15, 23)]
    for first, last in edges:
        end = len(x) if last == 23 else (last - 1) * 320 + reach
        alone = encoder.states(x[first * 320 : end], SR)
        for a, b in zip(pieced, alone, strict=True):
            np.testing.assert_array_equal(a[first:last], b)


def test_a_full_gpu_is_the_failure_of_a_clip(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: torch's own error, which is no `MemoryError`, ended the whole extraction."""
    import torch

    encoder = load_encoder(directories["hubert"])

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr("serfeat.encoders.network._states", full)
    with pytest.raises(MemoryError, match=r"^CUDA out of memory. Tried to allocate 2.00 GiB.$"):
        encoder.states(noise(4000), SR)


def test_bad_signals_and_rates(directories: dict[str, Path]) -> None:
    encoder = load_encoder(directories["hubert"])
    with pytest.raises(FeatureError, match="takes 16000 Hz, was given 8000"):
        encoder.states(noise(4000), 8000)
    for bad in (np.full(4000, np.nan), noise(4000).reshape(2, -1)):
        with pytest.raises(AudioError, match=r"mono|n_samples"):
            encoder.states(bad, SR)


def test_whisper_keeps_its_table(directories: dict[str, Path]) -> None:
    encoder = load_encoder(directories["whisper"])
    encoder.states(noise(4000), SR, upto=1)  # leaves the network by an exception
    assert encoder.module.embed_positions.weight.shape == (1500, 16)
    assert encoder.module.config.max_source_positions == 1500
    assert not encoder.module.layers[0]._forward_hooks


# ---------------------------------------------------------------------- files


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors"
    weights = safetensors_torch.load_file(path)
    change(weights)
    safetensors_torch.save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("wav2vec2", "encoder.layers.1.attention.q_proj.weight"),
        ("hubert", "feature_extractor.conv_layers.0.conv.weight"),
        ("wavlm", "encoder.layers.0.attention.rel_attn_embed.weight"),
        ("whisper", "encoder.layers.2.fc1.bias"),
    ],
)
def test_a_missing_weight_is_an_error(own: Callable[[str], Path], kind: str, name: str) -> None:
    """Seen to fail without the check: transformers draws the weight and only reports it."""
    folder = own(kind)
    rewrite(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelError, match=r"1 of .* weights are missing") as caught:
        load_encoder(folder)
    assert name in str(caught.value)
    assert caught.value.code == "missing-weights"
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_used_may_be_missing(own: Callable[[str], Path]) -> None:
    folder = own("whisper")
    rewrite(folder, lambda weights: weights.pop("decoder.layers.0.fc1.weight"))
    load_encoder(folder)
    folder = own("wavlm")
    rewrite(folder, lambda weights: weights.pop("masked_spec_embed"))
    load_encoder(folder)


def test_whisper_without_the_prefix_is_an_error(
    own: Callable[[str], Path], directories: dict[str, Path]
) -> None:
    """The weights of a bare WhisperEncoder: to WhisperModel all of them are strangers."""
    folder = own("whisper")
    model = transformers.WhisperModel.from_pretrained(directories["whisper"])
    bare = {k: v.contiguous() for k, v in model.get_encoder().state_dict().items()}
    safetensors_torch.save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="weights are missing"):
        load_encoder(folder)


def test_a_weight_of_another_shape_is_an_error(own: Callable[[str], Path]) -> None:
    folder = own("wav2vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(ModelError) as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_half_precision_is_computed_in_float32(own: Callable[[str], Path]) -> None:
    """Seen to fail with the precision of the file."""
    folder = own("hubert")
    model = transformers.HubertModel.from_pretrained(folder).to(torch.float16)
    model.save_pretrained(folder)
    encoder = load_encoder(folder)
    assert {p.dtype for p in encoder.module.parameters()} == {torch.float32}
    assert encoder.states(noise(4000), SR)[-1].dtype == np.float32


def test_names_of_old_checkpoints_are_read(
    own: Callable[[str], Path], directories: dict[str, Path]
) -> None:
    """Checkpoints of 2021 call the two parts of a normalised weight weight_g and weight_v."""
    folder = own("wav2vec2")
    stem = "encoder.pos_conv_embed.conv."

    def older(weights: dict[str, Any]) -> None:
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            weights[stem + old] = weights.pop(f"{stem}parametrizations.weight.{new}")

    rewrite(folder, older)
    x = noise(4000)
    np.testing.assert_array_equal(
        load_encoder(folder).states(x, SR)[-1],
        load_encoder(directories["wav2vec2"]).states(x, SR)[-1],
    )


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_weights_are_one_line(own: Callable[[str], Path], damage: str) -> None:
    folder = own("hubert")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-100], "garbage": b"\xff" * 1000, "empty": b""}[damage])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_missing_files_say_which(own: Callable[[str], Path], tmp_path: Path) -> None:
    folder = own("wavlm")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"has no preprocessor_config\.json; save"):
        feature_set(f"encoder:{folder}@1")
    folder = own("hubert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only a pickle, which is not read; .*HubertModel"):
        load_encoder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        architecture(str(folder))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="type 'bert', expected wav2vec2"):
        architecture(str(folder))
    with pytest.raises(ModelError, match="is no directory here; give a directory"):
        architecture(str(tmp_path / "nothing"))


def test_a_hub_name_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked = []

    def absent(name: str, **words: Any) -> str:
        asked.append((name, words["allow_patterns"]))
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    with pytest.raises(ModelError, match=r"cannot be had from the Hugging Face hub .*copy the"):
        feature_set("encoder:some-lab/some-model@1")
    assert asked == [("some-lab/some-model", ["config.json", "preprocessor_config.json"])]
    with pytest.raises(ModelError, match="no directory here; give"):
        feature_set("encoder:../some-model@1")  # a path, not a name
    assert len(asked) == 1


def test_a_hub_name_is_read_where_the_hub_puts_it(
    monkeypatch: pytest.MonkeyPatch, directories: dict[str, Path]
) -> None:
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **__: str(directories["hubert"])
    )
    assert load_encoder("some-lab/hubert") is load_encoder(directories["hubert"])


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    """transformers leaves what has its default out of config.json."""
    for kind, name in KINDS.items():
        config = getattr(transformers, name.replace("Model", "Config"))()
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        (tmp_path / "preprocessor_config.json").write_text("{}")
        shape = architecture(str(tmp_path))
        assert shape.n_layers == (
            config.encoder_layers if kind == "whisper" else config.num_hidden_layers
        )
        assert (shape.width, shape.hop, shape.sr) == (config.hidden_size, 320, 16_000)
        assert shape.receptive == (320 if kind == "whisper" else 400)
        assert shape.longest == 1500


def test_reading_a_set_imports_nothing_heavy(directories: dict[str, Path]) -> None:
    code = (
        "from serfeat.feature_sets import feature_set; "
        f"f = feature_set('encoder:{directories['wavlm']}"
        "'); f.columns('lld'); import sys; print(sorted({'torch', 'transformers'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------- feature sets


def test_encoder_alone(directories: dict[str, Path]) -> None:
    """Frame i is position i; the functionals are NumPy's mean and std of the positions."""
    features = feature_set(f"encoder:{directories['wavlm']}@2")
    assert features.columns("lld") == tuple(f"enc_{i}" for i in range(1, 17))
    assert features.columns("functionals")[:3] == ("enc_1__mean", "enc_1__std", "enc_2__mean")
    assert features.width("functionals") == 32
    assert (features.sr, features.hop, set(features.units("lld"))) == (SR, 0.02, {"1"})
    assert features.licence == "Apache-2.0 and unknown (encoder)"
    x = noise(8000).astype(np.float64)
    state = load_encoder(directories["wavlm"]).states(x, SR)[2]
    np.testing.assert_array_equal(features.compute(x, "lld"), state)
    expected = np.stack([state.mean(axis=0), state.std(axis=0)], axis=1).reshape(1, -1)
    np.testing.assert_allclose(features.compute(x, "functionals"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_encoder_beside_descriptors(directories: dict[str, Path], kind: str) -> None:
    """Frame i, centred on sample 160 i, takes position 160 i // 320, or the last there is.

    Seen to fail with the next position (centres + 160), and with the encoder's columns first.
    """
    alone = feature_set(f"encoder:{directories[kind]}@last")
    mixed = feature_set(f"cepstral, encoder:{directories[kind]}@last")
    base = feature_set("cepstral")
    x = noise(8250)
    frames, positions = mixed.compute(x, "lld"), alone.compute(x, "lld")
    assert mixed.columns("lld") == (*base.columns("lld"), *alone.columns("lld"))
    assert len(frames) == 1 + 8250 // 160
    np.testing.assert_array_equal(frames[:, :-16], base.compute(x, "lld"))
    for i in range(len(frames)):
        np.testing.assert_array_equal(frames[i, -16:], positions[min(i // 2, len(positions) - 1)])
    assert mixed.columns("functionals") == (
        *base.columns("functionals"),
        *alone.columns("functionals"),
    )
    row = mixed.compute(x, "functionals")
    np.testing.assert_array_equal(row[:, -32:], alone.compute(x, "functionals"))
    np.testing.assert_array_equal(row[:, :-32], base.compute(x, "functionals"))


def test_all_layers_side_by_side(directories: dict[str, Path]) -> None:
    features = feature_set(f"encoder:{directories['hubert']}@all")
    assert features.columns("lld")[15:17] == ("enc0_16", "enc1_1")
    x = noise(4000)
    states = load_encoder(directories["hubert"]).states(x, SR)
    np.testing.assert_array_equal(features.compute(x, "lld"), np.concatenate(states, axis=1))


def test_a_clip_that_is_too_short_is_undefined(directories: dict[str, Path]) -> None:
    alone = feature_set(f"encoder:{directories['wavlm']}@0")
    mixed = feature_set(f"energy,encoder:{directories['wavlm']}@0")
    x = noise(399)
    assert np.isnan(alone.compute(x, "lld")).all()
    assert alone.compute(x, "lld").shape == (1, 16)
    assert np.isnan(alone.compute(x, "functionals")).all()
    frames = mixed.compute(x, "lld")
    assert frames.shape[0] == 3
    assert np.isnan(frames[:, -16:]).all()
    assert np.isfinite(frames[:, :-16]).all()


def test_fingerprints(own: Callable[[str], Path], directories: dict[str, Path]) -> None:
    """Contents, layer: yes; place: no."""
    given, copy = directories["wavlm"], own("wavlm")

    def fingerprint(folder: Path, layer: str = "2", before: str = "") -> str:
        return feature_set(f"{before}encoder:{folder}@{layer}").fingerprint("lld")

    first = fingerprint(given)
    assert fingerprint(copy) == first
    assert fingerprint(given, "1") != first
    assert fingerprint(given, "2", "f0,") != first
    rewrite(copy, lambda weights: weights["encoder.layer_norm.bias"].add_(1e-3))
    changed = fingerprint(copy)
    assert changed != first
    assert not np.array_equal(
        feature_set(f"encoder:{copy}@2").compute(noise(4000), "lld"),
        feature_set(f"encoder:{given}@2").compute(noise(4000), "lld"),
    )
    config = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(config | {"do_normalize": True}))
    assert fingerprint(copy) not in {first, changed}


def test_expressions_that_do_not_go_together(directories: dict[str, Path]) -> None:
    folder = directories["hubert"]
    for layer in ("4", "-1", "two", "1.0", ""):
        with pytest.raises(FeatureError, match=r"no layer .* expected 0 to 3, last or all"):
            feature_set(f"encoder:{folder}@{layer}")
    with pytest.raises(FeatureError, match="no layer"):
        feature_set(f"encoder:{folder}@1@2")
    with pytest.raises(FeatureError, match="one encoder, as the last part"):
        feature_set(f"encoder:{folder}@1,f0")
    with pytest.raises(FeatureError, match="one encoder, as the last part"):
        feature_set(f"encoder:{folder}@1,encoder:{folder}@2")
    with pytest.raises(FeatureError, match="openSMILE's own"):
        feature_set(f"egemaps,encoder:{folder}@1")
    with pytest.raises(FeatureError, match="works at 22050 Hz"):
        feature_set(f"timnet39,encoder:{folder}@1")
    with pytest.raises(UnknownNameError, match="cepstral"):
        feature_set(f"cepstal,encoder:{folder}@1")
    assert feature_set(f"encoder:{folder}").encoder == encoder_columns(f"{folder}@last")


def test_the_store_and_the_name(directories: dict[str, Path]) -> None:
    folder = directories["hubert"]
    alone = feature_set(f"encoder:{folder}@1")
    assert alone.folder == "hubert-1"
    assert feature_set(f"classic,encoder:{folder}@all").folder == "classic-hubert-all"
    assert feature_set(f"f0,hnr,encoder:{folder}@all").folder == "custom-hubert-all"
    assert feature_set("classic").folder == "classic"
    # a stored model names its features: the name must be readable again
    for name in ("f0,hnr", f"f0, encoder:{folder}@1"):
        features = feature_set(name)
        assert feature_set(features.name).columns("lld") == features.columns("lld")


def test_one_process_has_the_gpu(
    directories: dict[str, Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: a copy of the encoder on the GPU for every core, and one for who only asks."""
    import torch

    from serfeat import extract as module
    from serfeat.encoders import columns

    calls = []
    run, load = module.run, columns.load_encoder

    def spied(*args: Any, jobs: int, isolated: bool = False, **settings: Any) -> Any:
        calls.append((jobs, isolated))
        return run(*args, jobs=1, **settings)

    monkeypatch.setattr(module, "run", spied)
    name = f"encoder:{directories['hubert']}@1"
    module.extract(tiny, name, store=tmp_path / "cpu", jobs=2)
    assert calls[0] == (2, True)
    with monkeypatch.context() as gpu:
        gpu.setattr(torch.cuda, "is_available", lambda: True)
        assert columns.default_device() == "cuda"
        devices = []
        gpu.setattr(
            columns, "load_encoder", lambda where, device="auto": devices.append(device) or
            load(where, device="cpu"),
        )  # fmt: skip
        calls.clear()
        module.extract(tiny, name, store=tmp_path / "gpu", jobs=2)
        assert calls[0] == (1, True)
        assert devices[0] == "cpu"  # `require`, in the process of whoever asks
        assert set(devices[1:]) == {"auto"}
        calls.clear()
        module.extract(tiny, "energy", store=tmp_path / "gpu", jobs=2)
        assert calls[0] == (2, True)


def test_extract_and_recipe(
    directories: dict[str, Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serfeat.extract import extract
    from serfeat.recipe import read_recipe

    monkeypatch.chdir(directories["whisper"].parent)  # a relative directory starts here
    name = "encoder:whisper@2"
    first = extract(tiny, name, store=tmp_path)
    assert not first.failures
    assert first.table.shape == (24, 32)
    assert np.isfinite(first.values).all()
    assert first.provenance["encoder"]["layer"] == 2
    assert set(first.provenance["encoder"]["files"]) == {
        *("config.json", "preprocessor_config.json", "model.safetensors"),
    }
    again = extract(tiny, name, store=tmp_path)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values, first.values)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'title = "t"\n[corpus]\nmanifest = "{tiny}"\n'
        '[[protocols]]\nname = "leave_one_speaker_out"\n'
        f'[[entries]]\nname = "svm"\nmodel = "svm"\nfeatures = "{name}"\n'
    )
    assert read_recipe(recipe).plan().entries[0].features == name
    recipe.write_text(recipe.read_text().replace("whisper@2", "nowhere@2"))
    with pytest.raises(ModelError, match="'nowhere' is no directory here"):
        read_recipe(recipe)


# ---------------------------------------------------------------------- the real encoder


@pytest.fixture(scope="session")
def whisper_directory(shared: Path) -> Path:
    folder = shared / "encoders" / "whisper-tiny.en"
    if not folder.is_dir():
        pytest.skip(f"no encoder at {folder}")
    return folder


@pytest.mark.corpus
def test_real_whisper_by_the_call_of_its_card(whisper_directory: Path, emodb_root: Path) -> None:
    """Bit for bit what the card's own lines give; the states are neither random nor constant."""
    import soundfile

    extractor = transformers.AutoFeatureExtractor.from_pretrained(whisper_directory)
    network = transformers.AutoModel.from_pretrained(whisper_directory).get_encoder()
    encoder = load_encoder(whisper_directory)
    for stem in ("03a01Fa", "16b10Wb"):
        x, rate = soundfile.read(next(emodb_root.rglob(f"{stem}.*")), dtype="float32")
        mel = extractor(x, sampling_rate=rate, padding="do_not_pad", return_tensors="pt")
        n = len(x) // 320
        table = network.embed_positions
        network.embed_positions = torch.nn.Embedding.from_pretrained(table.weight[:n])
        network.config.max_source_positions = n
        with torch.no_grad():
            expected = network(
                mel.input_features[..., : 2 * n], output_hidden_states=True
            ).hidden_states
        network.embed_positions, network.config.max_source_positions = table, 1500
        found = encoder.states(x, rate)
        assert len(found) == len(expected) == 5
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-6)


@pytest.mark.corpus
@pytest.mark.slow
def test_real_whisper_on_emodb(
    whisper_directory: Path, emodb_root: Path, feature_cache: Path
) -> None:
    """UAR of the card, .920 and .877: leave one speaker out, mean and std of layer 2."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from serfeat.corpora import read_corpus
    from serfeat.extract import extract
    from serfeat.metrics import uar
    from serfeat.splits import folds

    manifest = read_corpus("emodb", emodb_root)
    made = extract(manifest, f"encoder:{whisper_directory}@2", jobs=2)
    assert not made.failures
    emotions = manifest.rows["emotion"].to_numpy(dtype=str)
    for params, expected in (
        ({"kernel": "linear", "C": 1.0}, 0.920),
        ({"C": 5.0, "class_weight": "balanced"}, 0.877),
    ):
        predicted = np.empty_like(emotions)
        for fold in folds(manifest.rows, "leave_one_speaker_out")[0]:
            machine = make_pipeline(StandardScaler(), SVC(**params))
            machine.fit(made.values[fold.train], emotions[fold.train])
            predicted[fold.test] = machine.predict(made.values[fold.test])
        assert uar(emotions, predicted, manifest.labels) == pytest.approx(expected, abs=0.004)
