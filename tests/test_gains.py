"""Gains: the published formulas in numbers, a simulation, the table, the decision-directed SNR."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.signal.gains import (
    GAINS,
    _bin_by_bin,
    _corrections,
    _frame_by_frame,
    log_mmse_gain,
    prior_snr,
    stsa_gain,
    suppress,
    wiener_gain,
)


def db(gain: object) -> float:
    return float(20 * np.log10(np.asarray(gain)))


@pytest.mark.parametrize(
    ("xi_db", "gamma_db", "stsa", "log_mmse", "wiener"),
    [
        (-20, 0, -21.05, -22.51, -40.09),
        (-10, 0, -11.08, -12.54, -20.83),
        (0, -10, 6.15, 4.70, -6.02),
        (0, 0, -2.22, -3.59, -6.02),
        (0, 10, -5.58, -6.02, -6.02),
        (10, 0, 1.52, 0.28, -0.83),
        (10, 10, -0.59, -0.83, -0.83),
        (20, 20, -0.06, -0.09, -0.09),
    ],
)
def test_table(xi_db: float, gamma_db: float, stsa: float, log_mmse: float, wiener: float) -> None:
    """To 0.01 dB. Catches I0 and I1 exchanged, a gamma for a v, a missing half of E1."""
    xi, gamma = 10 ** (xi_db / 10), 10 ** (gamma_db / 10)
    assert db(stsa_gain(xi, gamma)) == pytest.approx(stsa, abs=0.01)
    assert db(log_mmse_gain(xi, gamma)) == pytest.approx(log_mmse, abs=0.01)
    assert db(wiener_gain(xi, gamma)) == pytest.approx(wiener, abs=0.01)


def test_expectations_by_simulation() -> None:
    """E[A | R] and exp E[ln A | R] of complex Gaussian speech in complex Gaussian noise.

    1.5e4 of 3e6 draws have the wanted |Y|^2. Catches sqrt(v) without pi.
    """
    rng = np.random.default_rng(1)
    xi, gamma, n = 2.0, 3.0, 3_000_000
    speech = np.sqrt(xi / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    noise = np.sqrt(1 / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    r = np.abs(speech + noise)
    hit = np.abs(r**2 - gamma) < 0.02
    ratio = np.abs(speech[hit]) / r[hit]
    assert len(ratio) > 10_000
    assert stsa_gain(xi, gamma) == pytest.approx(ratio.mean(), abs=0.006)
    assert log_mmse_gain(xi, gamma) == pytest.approx(np.exp(np.log(ratio).mean()), abs=0.006)
    assert stsa_gain(xi, gamma) == pytest.approx(0.7575, abs=1e-4)
    assert log_mmse_gain(xi, gamma) == pytest.approx(0.6832, abs=1e-4)


def test_order_and_limits() -> None:
    """Wiener <= log-MMSE <= STSA everywhere, and equal where v is large; finite where it is not."""
    xi, gamma = np.meshgrid(np.geomspace(1e-4, 1e4, 60), np.geomspace(1e-4, 1e4, 60))
    stsa, log_mmse, wiener = (GAINS[g](xi, gamma) for g in ("stsa", "log_mmse", "wiener"))
    assert np.isfinite(stsa).all()
    assert np.isfinite(log_mmse).all()
    assert (wiener <= log_mmse * (1 + 1e-12)).all()
    assert (log_mmse <= stsa * (1 + 1e-12)).all()
    for gain in (stsa, log_mmse):
        np.testing.assert_allclose(gain[-1, -1], wiener[-1, -1], rtol=1e-4)


@pytest.mark.parametrize("name", sorted(GAINS))
def test_the_table_is_the_formula(name: str) -> None:
    """To 2e-5 dB; catches an index of the interpolation that is off by one.

    Without memory, xi is max(gamma - 1, 0) or the floor: the first frame shows the gain alone.
    """
    gamma = np.geomspace(1e-3, 1e3, 2001)[None, :]
    gains, ratio = suppress(gamma, np.zeros(2001), 1.0, gain=name, memory=1e-3)
    xi = np.maximum(gamma - 1, 10**-2.5)
    expected = np.minimum(GAINS[name](xi, gamma), 10.0)
    assert np.abs(20 * np.log10(gains / expected)).max() < 2e-5
    np.testing.assert_allclose(ratio, gains[0] ** 2 * gamma[0])


@pytest.mark.parametrize("name", sorted(GAINS))
def test_decision_directed(name: str) -> None:
    """Against the definition, frame by frame. Catches a and 1 - a exchanged, and the gain of this
    frame in place of the last one's."""
    rng = np.random.default_rng(0)
    gamma = rng.exponential(size=(30, 20)) * 10 ** rng.uniform(-1, 2, (30, 1))
    a = np.exp(-0.016 / 0.792)
    assert a == pytest.approx(0.98, abs=1e-4)
    before, expected, priors = np.zeros(20), [], []
    for g in gamma:
        priors.append(np.maximum(a * before + (1 - a) * np.maximum(g - 1, 0), 10**-2.5))
        expected.append(np.minimum(GAINS[name](priors[-1], g), 10.0))
        before = expected[-1] ** 2 * g
    gains, last = suppress(gamma, np.zeros(20), 0.016, gain=name)
    np.testing.assert_allclose(gains, expected, rtol=2e-5)
    np.testing.assert_allclose(last, before, rtol=4e-5)
    np.testing.assert_allclose(prior_snr(gamma, 0.016, gain=name), priors, rtol=4e-5)


def test_blocks_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    gamma = rng.exponential(size=(20, 9))
    whole, last = suppress(gamma, np.zeros(9), 0.016)
    first, ratio = suppress(gamma[:7], np.zeros(9), 0.016)
    second, end = suppress(gamma[7:], ratio, 0.016)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(end, last)


@pytest.mark.parametrize("name", sorted(GAINS))
def test_the_kernel_is_the_reference(name: str) -> None:
    """Compiled, uncompiled and in NumPy; the uncompiled kernel also runs off the table's ends."""
    rng = np.random.default_rng(0)
    gamma = np.clip(rng.exponential(size=(20, 9)) * 10 ** rng.uniform(-3, 3, (20, 9)), 1e-3, 1e3)
    before = rng.exponential(size=9)
    want = _frame_by_frame(gamma, before, 0.9, 0.01, name)
    plain = getattr(_bin_by_bin, "py_func", _bin_by_bin)
    for kernel in (_bin_by_bin, plain):
        got = kernel(gamma, before, 0.9, 0.01, *_corrections(name))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)
    ends = (np.linspace(-1, 1, 5), 1 + np.arange(5.0))
    for a, b in zip(
        _bin_by_bin(gamma, before, 0.9, 0.01, *ends),
        plain(gamma, before, 0.9, 0.01, *ends),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)
