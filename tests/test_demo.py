"""The embedded corpus: the synthesiser does what its truth says, and the files are what they say.

Each docstring names the mutation that the test catches.
"""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
import tomllib
import wave
from pathlib import Path

import numpy as np
import pytest

from serfeat import demo
from serfeat.demo import folder, rules, sentences, synth
from serfeat.demo.synth import source, tract
from serfeat.errors import CorpusError, FeatureError, UnknownNameError
from serfeat.manifest_csv import read_manifest

FORMANTS = (730.0, 1090.0, 2440.0, 3400.0, 4300.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    return demo.make_corpus(root, speakers=2, sentences=2, seed=5)


@pytest.fixture(scope="module")
def spoken() -> list[demo.Utterance]:
    """Every emotion by four speakers, two sentences."""
    return [
        demo.utterance(s, e, t)
        for s in ("s1", "s2", "s3", "s4")
        for e in demo.EMOTIONS
        for t in ("t2", "t5")
    ]


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as lines:
        return list(csv.DictReader(lines))


def samples_of(path: Path) -> np.ndarray:
    with wave.open(str(path)) as held:
        assert (held.getnchannels(), held.getsampwidth(), held.getframerate()) == (1, 2, 16000)
        return np.frombuffer(held.readframes(held.getnframes()), "<i2") / 32768.0


# --- closed form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("f0", [100.0, 123.4, 237.0])
def test_harmonics_lie_at_multiples_of_f0(f0: float) -> None:
    """Catches closures rounded to samples and steps that are not band-limited (aliases)."""
    x = demo.sustained(f0=f0, seconds=1.0).x[3200:12800]
    spectrum = np.abs(np.fft.rfft(x * np.blackman(x.size), 8 * x.size)) ** 2
    hz = np.fft.rfftfreq(8 * x.size, 1 / 16000)
    off = np.abs(hz / f0 - np.rint(hz / f0)) * f0
    near = spectrum[(off < 8.0) & (hz > f0 / 2)].sum()
    between = spectrum[(off >= 8.0) & (hz > f0 / 2)].sum()
    assert 10 * np.log10(near / between) > 50
    for k in range(1, 11):
        here = np.abs(hz - k * f0) < f0 / 3
        assert hz[here][np.argmax(spectrum[here])] == pytest.approx(k * f0, abs=0.3)


def test_closures_follow_f0_exactly() -> None:
    """Catches a walk that steps in samples or uses the F0 of another millisecond."""
    f0 = np.linspace(100.0, 300.0, 2000)
    times, periods, first = source.walk(
        f0, np.ones(2000), dt=0.001, jitter=0.0, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(np.diff(times), periods[1:], rtol=1e-12)
    inside = times < 1.99
    middles = (times - 0.5 * periods)[inside]
    expected = np.interp(middles, np.arange(2000) * 0.001, f0)
    np.testing.assert_allclose(1.0 / periods[inside], expected, rtol=1e-3)
    assert first.sum() == 1.0


def test_no_pulse_where_there_is_no_voice() -> None:
    """Catches a walk that runs through voiceless stretches or forgets where one begins."""
    voicing = np.repeat([0.0, 1.0, 0.0, 1.0], 250)
    times, periods, first = source.walk(
        np.full(1000, 200.0), voicing, dt=0.001, jitter=0.0, rng=np.random.default_rng(0)
    )
    begins = times - periods
    assert (voicing[(begins * 1000 + 1e-6).astype(int)] > 0).all()
    assert first.sum() == 2
    assert times.size == pytest.approx(100, abs=2)


def test_tilt_loses_what_it_should() -> None:
    """Catches the other root of the quadratic, and dB of amplitude taken for dB of power."""
    impulse = np.zeros(16000)
    impulse[0] = 1.0
    response = np.abs(np.fft.rfft(source.tilt(impulse, loss_db=9.0, sr=16000)))
    assert response[0] == pytest.approx(1.0, abs=1e-9)
    assert 20 * np.log10(response[3000]) == pytest.approx(-9.0, abs=1e-6)


def test_resonator_and_nasal_pair() -> None:
    """Catches a wrong sign or factor in Klatt's coefficients; pole = zero must cancel."""
    impulse = np.zeros(16000)
    impulse[0] = 1.0
    formants = np.tile([700.0, 1200.0, 2600.0, 3500.0], (1000, 1))
    widths = np.tile([60.0, 90.0, 130.0, 200.0], (1000, 1))
    out, _ = tract.cascade(
        impulse,
        impulse,
        formants=formants,
        bandwidths=widths,
        zero=np.full(1000, 270.0),
        pole=270.0,
        sr=16000,
    )
    z = np.exp(-2j * np.pi * np.arange(8001) / 16000)
    expected = np.ones(8001, dtype=complex)
    for f, b in zip(formants[0], widths[0], strict=True):
        pole = np.exp(-np.pi * b / 16000 + 2j * np.pi * f / 16000)
        expected *= abs(1 - pole) ** 2 / ((1 - pole * z) * (1 - pole.conjugate() * z))
    np.testing.assert_allclose(np.abs(np.fft.rfft(out)), np.abs(expected), rtol=1e-6, atol=1e-9)
    moved, _ = tract.cascade(
        impulse,
        impulse,
        formants=formants,
        bandwidths=widths,
        zero=np.full(1000, 900.0),
        pole=270.0,
        sr=16000,
    )
    ratio = np.abs(np.fft.rfft(moved)) / np.abs(expected)
    assert ratio[900] < 0.5
    assert ratio[270] > 2.0


def test_friction_has_the_level_that_it_was_given() -> None:
    """Catches a wrong variance of the resonator's noise."""
    m = 4000
    out = tract.hiss(
        np.random.default_rng(0).standard_normal(m * 16),
        hz=np.full((m, 1), 4000.0),
        bandwidth=np.full((m, 1), 700.0),
        gain=np.full((m, 1), 0.25),
        sr=16000,
    )
    assert out.std() == pytest.approx(0.25, rel=0.04)
    spectrum = np.abs(np.fft.rfft(out)) ** 2
    centre = np.sum(spectrum * np.fft.rfftfreq(out.size, 1 / 16000)) / spectrum.sum()
    assert centre == pytest.approx(4000.0, rel=0.05)


def test_breath_energy_is_the_hnr() -> None:
    """Catches dB of amplitude taken for dB of power, and a truth measured on the sum."""
    for hnr in (5.0, 20.0):
        truth = demo.sustained(hnr_db=hnr, seconds=2.0).truth
        assert truth.hnr_db == pytest.approx(hnr, abs=0.4)
    assert demo.sustained().truth.hnr_db == np.inf


def test_jitter_and_shimmer_truth_are_praats_formulas() -> None:
    """Catches a mean over stretches' borders, a missing normalisation, sd for mean |diff|."""
    truth = demo.sustained(f0=150.0, seconds=2.0, jitter=0.01, shimmer=0.03).truth
    periods = np.diff(truth.pulse_s)
    expected = np.abs(np.diff(periods)).mean() / periods.mean()
    assert truth.jitter_local == pytest.approx(expected, rel=1e-9)
    assert truth.jitter_local == pytest.approx(0.01 * 2 / np.sqrt(np.pi), rel=0.1)
    assert truth.shimmer_local == pytest.approx(0.03 * 2 / np.sqrt(np.pi), rel=0.1)
    assert demo.sustained().truth.jitter_local == pytest.approx(0.0, abs=1e-12)


def test_level_is_the_one_asked_for() -> None:
    """Catches a level set before the noise or the peak limit are in."""
    spoken = demo.sustained(level_db=-30.0)
    assert 10 * np.log10(np.mean(spoken.x**2)) == pytest.approx(-30.0, abs=0.01)
    assert np.abs(demo.sustained(level_db=3.0).x).max() == pytest.approx(0.95, abs=1e-6)


# --- an independent implementation: Praat --------------------------------------------------------


@pytest.mark.parametrize(
    "formants",
    [FORMANTS, (270.0, 2290.0, 3010.0, 3600.0, 4300.0), (300.0, 870.0, 2240.0, 3400.0, 4300.0)],
)
def test_praat_finds_the_formants(formants: tuple[float, ...]) -> None:
    """Catches a wrong resonator frequency; tolerances: 3 % or 25 Hz at F0 = 100 Hz."""
    parselmouth = pytest.importorskip("parselmouth")
    x = demo.sustained(formants, f0=100.0, hnr_db=50.0, tilt_db=0.0, sr=10000, seconds=1.0).x
    burg = parselmouth.Sound(x, 10000).to_formant_burg(0.01, 5, 5000)
    times = np.arange(0.3, 0.7, 0.01)
    for k, hz in enumerate(formants[:3], start=1):
        found = np.nanmedian([burg.get_value_at_time(k, t) for t in times])
        assert found == pytest.approx(hz, abs=max(25.0, 0.03 * hz))


def test_praat_finds_the_jitter() -> None:
    """Catches jitter that is applied to the wrong quantity (F0 offsets, samples); 8 %.

    Away from a formant on a harmonic: there (F0 = 150, F1 = 730 Hz) the ringing of the tract
    hides a quarter of the jitter from any method that sees the waveform only.
    """
    parselmouth = pytest.importorskip("parselmouth")
    for f0, jitter in ((100.0, 0.004), (100.0, 0.015), (200.0, 0.008)):
        spoken = demo.sustained(f0=f0, seconds=3.0, jitter=jitter, sr=44000)
        sound = parselmouth.Sound(spoken.x, 44000)
        pulses = parselmouth.praat.call(sound, "To PointProcess (periodic, cc)", 75, 600)
        found = parselmouth.praat.call(pulses, "Get jitter (local)", 0, 0, 1e-4, 0.02, 1.3)
        assert found == pytest.approx(spoken.truth.jitter_local, rel=0.08)


def test_praat_finds_the_hnr() -> None:
    """Catches breath on the wrong side of the filter's gain; 1.5 dB.

    By forward cross-correlation: it finds 1.0 to 1.3 dB too much throughout, because breath
    that has passed narrow formants still resembles itself a period later.
    """
    parselmouth = pytest.importorskip("parselmouth")
    for f0 in (120.0, 210.0):
        for hnr in (10.0, 20.0, 30.0):
            spoken = demo.sustained(f0=f0, hnr_db=hnr, seconds=2.0)
            sound = parselmouth.Sound(spoken.x, 16000)
            values = sound.to_harmonicity_cc(0.01, 75, 0.1, 1.0).values
            found = values[values > -150].mean()
            assert found == pytest.approx(spoken.truth.hnr_db, abs=1.5)


def test_praat_finds_the_contour(spoken: list[demo.Utterance]) -> None:
    """Catches a contour shifted in time, or one that jitter has moved.

    The median error is 0.5 %, which is the jitter; 10 ms too early or too late would be 1 %.
    """
    parselmouth = pytest.importorskip("parselmouth")
    errors, voiced_agree = [], []
    for u in spoken[::5]:
        pitch = parselmouth.Sound(u.x, u.sr).to_pitch_ac(0.01, 55, very_accurate=True)
        times = np.arange(u.truth.f0_hz.size) * 0.01
        found = np.array([pitch.get_value_at_time(t) for t in times])
        both = np.isfinite(found) & np.isfinite(u.truth.f0_hz)
        errors.append(np.abs(found[both] / u.truth.f0_hz[both] - 1))
        voiced_agree.append(np.isfinite(found) == np.isfinite(u.truth.f0_hz))
    assert np.median(np.concatenate(errors)) < 0.007
    assert np.mean(np.concatenate(voiced_agree)) > 0.94


# --- the sentences and the rules -----------------------------------------------------------------


def test_sentences_are_made_of_the_phones() -> None:
    """Catches a symbol without a phone, and a sentence outside 6 to 10 syllables."""
    for text in demo.SENTENCES.values():
        rows = sentences.timeline(text, duration=1.0, pauses=1.0, rng=np.random.default_rng(0))
        assert 6 <= max(r.syllable for r in rows) + 1 <= 10
        kinds = {demo.PHONES[r.phone].kind for r in rows}
        assert {"vowel", "stop", "nasal"} <= kinds
        assert kinds & {"fricative", "aspirate"}
        assert all(a.end == b.start for a, b in itertools.pairwise(rows))
    used = set("".join(demo.SENTENCES.values()))
    assert used - set("'., ") == set(demo.PHONES) - {"_"}


def test_consonants_are_what_they_are(spoken: list[demo.Utterance]) -> None:
    """Catches voiced fricatives, silent friction, closures with sound in them."""
    u = spoken[0]  # t2: d i f o m e n t a S i g o l a p u

    def of(phone: str, lo: float = 0.25, hi: float = 0.75) -> np.ndarray:
        s = next(s for s in u.truth.segments if s.phone == phone)
        a, b = s.start + lo * (s.end - s.start), s.start + hi * (s.end - s.start)
        return u.x[int(a * u.sr) : int(b * u.sr)]

    def db(x: np.ndarray) -> float:
        return float(10 * np.log10(np.mean(x**2)))

    def centre(x: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(x * np.hanning(x.size))) ** 2
        return float((power * np.fft.rfftfreq(x.size, 1 / u.sr)).sum() / power.sum())

    vowel = db(of("a"))
    assert db(of("p", 0.1, 0.4)) < vowel - 30  # closure
    assert vowel - 25 < db(of("S")) < vowel - 3
    assert centre(of("S")) > 2000 > centre(of("a"))
    assert vowel - 20 < db(of("m")) < vowel
    assert 0.4 < np.isfinite(u.truth.f0_hz).mean() < 0.8


def test_rules_have_their_direction() -> None:
    """Catches a rule applied upside down, in the wrong unit, or to the wrong emotion."""

    def median(emotion: str, name: str) -> float:
        habits = np.random.default_rng(1)
        rng = np.random.default_rng(2)
        return float(
            np.median(
                [getattr(rules.portray(emotion, rng=rng, habits=habits), name) for _ in range(300)]
            )
        )

    for emotion, table in demo.RULES.items():
        for key, rule in table.items():
            name = key.removesuffix("_percent")
            found = median(emotion, name)
            if key.endswith("_percent"):
                assert np.log(found) == pytest.approx(
                    rules.STRENGTH_MEAN * np.log(rule.value / 100), abs=0.1
                )
            else:
                assert found == pytest.approx(rules.STRENGTH_MEAN * rule.value, abs=0.5)
    assert median("neutral", "f0_mean") == pytest.approx(1.0, abs=0.02)


def test_dimensions_follow_the_voice() -> None:
    """Full-strength anger has tanh(1); arousal orders the emotions, valence has their sign.

    Mutations caught: duration's factor taken without its sign (slow speech aroused), a NaN strength
    of neutral, dB taken as a factor.
    """
    from serfeat.demo.rules import AROUSAL_CUES, VALENCE, Portrayal

    anger = {name: rule.value for name, rule in demo.RULES["anger"].items()}
    full = Portrayal(
        "anger",
        1.0,
        **{
            name: anger.get(f"{name}_percent", 100.0) / 100
            for name in ("f0_mean", "f0_range", "duration", "pauses", "jitter", "articulation")
        },
        accent_late=1.0,
        level_db=anger["level_db"],
        tilt_db=anger["tilt_db"],
        hnr_db=0.0,
        final_st=0.0,
    )
    assert full.arousal == pytest.approx(np.tanh(1.0))
    assert full.valence == -0.6
    assert set(VALENCE) == set(demo.EMOTIONS)
    assert set(AROUSAL_CUES) <= set(vars(full))
    mean = {
        emotion: np.mean(
            [
                [u.arousal, u.valence]
                for s in (1, 2, 3, 4)
                for u in [demo.utterance(f"s{s}", emotion, "t1")]
            ],
            axis=0,
        )
        for emotion in demo.EMOTIONS
    }
    for high in ("anger", "happiness", "fear"):
        assert mean[high][0] > 0.3
    for low in ("sadness", "boredom"):
        assert mean[low][0] < -0.3
    assert abs(mean["neutral"][0]) < 0.2
    assert mean["neutral"][1] == 0
    assert mean["happiness"][1] > 0.3 > -0.1 > mean["boredom"][1] > mean["anger"][1]


def test_emotions_sound_as_the_rules_say(spoken: list[demo.Utterance]) -> None:
    """Catches a portrayal that never reaches the synthesiser, or reaches the wrong control."""

    def median(emotion: str, column: str) -> float:
        rows = [
            u.truth.row() | {"duration": u.x.size / u.sr} for u in spoken if u.emotion == emotion
        ]
        return float(np.median([row[column] for row in rows]))

    def tilt(emotion: str) -> float:
        ratios = []
        for u in spoken:
            if u.emotion == emotion:
                power = np.abs(np.fft.rfft(u.x)) ** 2
                hz = np.fft.rfftfreq(u.x.size, 1 / u.sr)
                band = (hz > 1000) & (hz < 2000)
                ratios.append(10 * np.log10(power[band].sum() / power[hz < 1000].sum()))
        return float(np.median(ratios))

    for emotion in ("anger", "happiness", "fear"):
        assert median(emotion, "truth_f0_mean_hz") > 1.1 * median("neutral", "truth_f0_mean_hz")
        assert median(emotion, "duration") < 0.95 * median("neutral", "duration")
    assert median("boredom", "truth_f0_mean_hz") < median("neutral", "truth_f0_mean_hz")
    assert (
        median("boredom", "truth_f0_sd_semitones") < median("anger", "truth_f0_sd_semitones") / 1.5
    )
    assert median("sadness", "duration") > 1.1 * median("neutral", "duration")
    assert median("anger", "truth_level_db") > median("neutral", "truth_level_db") + 2
    assert median("sadness", "truth_level_db") < median("neutral", "truth_level_db") - 2
    assert median("anger", "truth_jitter_local") > 1.1 * median("neutral", "truth_jitter_local")
    assert tilt("anger") > tilt("neutral") > tilt("sadness")


def test_speakers_differ_and_are_balanced() -> None:
    """Catches one stream for all speakers, and sexes that lose their tract or pitch."""
    voices = [demo.speaker(f"s{k}") for k in range(1, 9)]
    assert [v.sex for v in voices] == ["female", "male"] * 4
    assert len({v.f0_hz for v in voices}) == 8
    female = [v for v in voices if v.sex == "female"]
    male = [v for v in voices if v.sex == "male"]
    assert min(v.f0_hz for v in female) > max(v.f0_hz for v in male)
    assert min(v.tract for v in female) > max(v.tract for v in male)
    assert demo.speaker("s1", seed=1) != demo.speaker("s1", seed=0)


def test_nothing_clips_and_nothing_is_undefined(spoken: list[demo.Utterance]) -> None:
    """Catches a lost peak limit, and NaN or silence from an unvoiced edge."""
    for u in spoken:
        assert np.isfinite(u.x).all()
        assert 0.02 < np.abs(u.x).max() <= 0.96
        assert abs(u.x.mean()) < 1e-3
        row = u.truth.row()
        assert all(np.isfinite(value) for value in row.values())
        assert 55.0 <= row["truth_f0_min_hz"] <= row["truth_f0_mean_hz"] <= row["truth_f0_max_hz"]
        assert 1.0 < u.truth.duration_s < 5.0
        assert u.truth.f0_hz.size == 1 + u.x.size // 160
        assert np.isnan(u.strength) == (u.emotion == "neutral")


# --- determinism and the folder ------------------------------------------------------------------


def test_the_compiled_kernels_are_the_plain_ones() -> None:
    """Catches a kernel whose compiled form reorders or overflows."""
    if not hasattr(source._walk, "py_func"):
        pytest.skip("numba is off")
    times, periods, amplitudes = np.array([0.01, 0.02]), np.full(2, 0.01), np.ones(2)
    args = (times, periods, amplitudes, 0.6, 400, 16000, *source._tables())
    for a, b in zip(source._glottis(*args), source._glottis.py_func(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_an_utterance_depends_on_its_seed_alone(corpus: Path) -> None:
    """Catches a generator that is shared between utterances, and a seed that is not used."""
    alone = demo.utterance("s2", "fear", "t2", seed=5)
    np.testing.assert_array_equal(alone.x, demo.utterance("s2", "fear", "t2", seed=5).x)
    stored = samples_of(corpus.parent / "s2" / "s2_fear_t2.wav")
    np.testing.assert_allclose(stored, alone.x, atol=0.51 / 32768, rtol=0)
    assert demo.utterance("s2", "fear", "t2", seed=6).strength != alone.strength
    assert demo.utterance("s2", "fear", "t1", seed=5).strength != alone.strength
    assert demo.utterance("s4", "fear", "t2", seed=5).strength != alone.strength


def test_corpus_is_whole(corpus: Path) -> None:
    """Catches a missing row or column, a truth of another file, a side-car that says other."""
    rows = rows_of(corpus)
    assert len(rows) == 2 * 6 * 2
    assert corpus.read_bytes().endswith(b"\n")
    assert len({row["file"] for row in rows}) == len(rows)
    assert {row["emotion"] for row in rows} == set(demo.EMOTIONS)
    assert [row["sex"] for row in rows if row["speaker"] == "s2"] == ["male"] * 12
    for row in rows:
        x = samples_of(corpus.parent / row["file"])
        assert float(row["duration"]) == pytest.approx(x.size / 16000, abs=1e-5)
        assert float(row["truth_level_db"]) == pytest.approx(10 * np.log10(np.mean(x**2)), abs=0.05)
        assert (row["strength"] == "") == (row["emotion"] == "neutral")
    about = tomllib.loads(corpus.with_suffix(".toml").read_text())
    assert about["manifest"]["rows"] == 24
    assert about["manifest"]["synthetic"] is True
    assert about["manifest"]["licence"] == "CC0-1.0"
    assert "say nothing about people" in about["manifest"]["note"]


def test_serfeat_reads_its_manifest(corpus: Path) -> None:
    """Catches a side-car or a column that the manifest reader refuses."""
    manifest = read_manifest(corpus)
    assert len(manifest) == 24
    assert manifest.card.synthetic is True
    assert manifest.path("s1/s1_anger_t1.wav").is_file()
    assert manifest.rows["truth_f0_mean_hz"].dtype == np.float64
    assert manifest.rows["arousal"].between(-1, 1).all()
    assert manifest.rows["valence"].notna().all()
    assert manifest.rows["text_id"].iloc[0] == "t1"


def test_same_bytes_for_any_number_of_workers(corpus: Path, tmp_path: Path) -> None:
    """Catches an order that depends on the workers, and time stamps in the files."""
    again = demo.make_corpus(tmp_path / "again", speakers=2, sentences=2, seed=5, jobs=3)
    for file in ["manifest.csv", "manifest.toml", *(row["file"] for row in rows_of(corpus))]:
        assert (again.parent / file).read_bytes() == (corpus.parent / file).read_bytes()
    assert not list(again.parent.rglob(".*"))


def test_a_finished_corpus_is_left_alone(tmp_path: Path) -> None:
    """Catches a corpus that is always rewritten, or never when it should be."""
    calls: list[tuple[int, int]] = []

    def make(**options: object) -> Path:
        calls.clear()
        chosen = {"speakers": 1, "sentences": 2, "emotions": ["anger"], **options}
        return demo.make_corpus(tmp_path, progress=lambda *c: calls.append(c), **chosen)

    manifest = make()
    assert calls == [(1, 2), (2, 2)]
    before = (tmp_path / "s1" / "s1_anger_t1.wav").read_bytes()
    make()
    assert calls == []
    (tmp_path / "s1" / "s1_anger_t2.wav").unlink()
    make()
    assert len(calls) == 2
    manifest.with_suffix(".toml").unlink()  # as an interrupted run leaves it
    make()
    assert len(calls) == 2
    make(seed=1, sentences=1)
    assert len(calls) == 1
    assert (tmp_path / "s1" / "s1_anger_t1.wav").read_bytes() != before
    assert not (tmp_path / "s1" / "s1_anger_t2.wav").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Catches overwriting of a real corpus' manifest, and unlinking outside the folder."""
    (tmp_path / "manifest.csv").write_text("file,corpus,emotion\na.wav,emodb,anger\n")
    with pytest.raises(CorpusError, match="another corpus"):
        demo.make_corpus(tmp_path, speakers=1, sentences=1)
    assert "emodb" in (tmp_path / "manifest.csv").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="is a file"):
        demo.make_corpus(tmp_path / "file", speakers=1, sentences=1)
    mine = tmp_path / "mine"
    mine.mkdir()
    victim = tmp_path / "s1_anger_t1.wav"
    victim.write_text("keep")
    (mine / "manifest.csv").write_text("file,corpus\n../s1_anger_t1.wav,demo\n")
    demo.make_corpus(mine, speakers=1, sentences=1, emotions=["fear"])
    assert victim.read_text() == "keep"


def test_bad_words_are_refused(tmp_path: Path) -> None:
    """Catches names that pass silently, and sizes that make an empty corpus."""
    with pytest.raises(UnknownNameError, match="happiness"):
        demo.utterance("s1", "hapiness", "t1")
    with pytest.raises(UnknownNameError):
        demo.utterance("s0", "anger", "t1")
    with pytest.raises(UnknownNameError):
        demo.utterance("s1", "anger", "t9")
    with pytest.raises(UnknownNameError):
        demo.make_corpus(tmp_path, engine="espeak")
    for wrong in ({"speakers": 0}, {"sentences": 9}, {"emotions": []}):
        with pytest.raises(CorpusError, match="from 1 to"):
            demo.make_corpus(tmp_path, **wrong)
    for wrong in ({"sr": 22050}, {"f0": 0.0}, {"seconds": 0.0}, {"formants": (500.0, 9000.0)}):
        with pytest.raises(FeatureError):
            demo.sustained(**wrong)
    assert not list(tmp_path.iterdir())


def test_wav_rounds_and_never_wraps() -> None:
    """Catches truncation instead of rounding, and int16 overflow at full scale."""
    raw = folder.wav_bytes(np.array([0.0, 1.0, -1.0, 1.6 / 32768, 2.0]), 16000)
    values = np.frombuffer(raw[44:], "<i2")
    np.testing.assert_array_equal(values, [0, 32767, -32768, 2, 32767])


def test_importing_is_light() -> None:
    """Catches a heavy import at the top of a module."""
    heavy = "{'parselmouth', 'torch', 'matplotlib', 'sklearn', 'librosa', 'opensmile'}"
    code = f"import serfeat.demo, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_controls_have_one_clock() -> None:
    """Catches articulation and synthesis that count in different steps."""
    assert synth.CONTROL_S == sentences.CONTROL_S


# --- real words ----------------------------------------------------------------------------------


def test_praat_engine_speaks_as_asked(tmp_path: Path) -> None:
    """Catches pitch or rate that does not reach the synthesiser, and wrong voices."""
    parselmouth = pytest.importorskip("parselmouth")
    pytest.importorskip("serfeat.lld._praat")
    manifest = demo.make_corpus(
        tmp_path, speakers=2, sentences=2, emotions=["neutral", "fear"], engine="praat"
    )
    rows = {(r["speaker"], r["emotion"], r["text_id"]): r for r in rows_of(manifest)}
    assert len(rows) == 8

    def measured(key: tuple[str, str, str]) -> tuple[float, float]:
        sound = parselmouth.Sound(str(tmp_path / rows[key]["file"]))
        f0 = sound.to_pitch_ac(0.01, 60, pitch_ceiling=500).selected_array["frequency"]
        return float(np.median(f0[f0 > 0])), sound.duration

    for name, sex in (("s1", "female"), ("s2", "male")):
        fear, neutral = (name, "fear", "t1"), (name, "neutral", "t1")
        assert rows[fear]["sex"] == sex
        assert rows[fear]["language"] == "en"
        asked = [float(rows[k]["truth_asked_f0_factor"]) for k in (fear, neutral)]
        slow = [float(rows[k]["truth_asked_duration_factor"]) for k in (fear, neutral)]
        (f_fear, d_fear), (f_neutral, d_neutral) = measured(fear), measured(neutral)
        assert f_fear / f_neutral == pytest.approx(asked[0] / asked[1], rel=0.12)
        assert d_fear / d_neutral == pytest.approx(slow[0] / slow[1], rel=0.12)
