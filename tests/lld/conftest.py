"""What several families' tests share: openSMILE's HTK front end, and a signal like speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Configuration text for openSMILE: waveform -> frames -> (pre-emphasis) -> Hamming -> FFT -> mel
# -> one last component, one level after the other.
FRONT_END = r"""
[componentInstances:cComponentManager]
instance[dataMemory].type=cDataMemory
\{{\cm[source{{?}}:source include config]}}
[componentInstances:cComponentManager]
instance[cut].type=cFramer
instance[emph].type=cVectorPreemphasis
instance[taper].type=cWindower
instance[spec].type=cTransformFFT
instance[mag].type=cFFTmagphase
instance[bands].type=cMelspec
instance[cepstrum].type={component}
instance[out].type=cVectorConcat
[cut:cFramer]
reader.dmLevel=wave
writer.dmLevel=cut
noPostEOIprocessing=1
frameSize=0.025
frameStep=0.01
frameCenterSpecial=left
[emph:cVectorPreemphasis]
reader.dmLevel=cut
writer.dmLevel=emph
k={k}
[taper:cWindower]
reader.dmLevel={before}
writer.dmLevel=taper
winFunc=ham
[spec:cTransformFFT]
reader.dmLevel=taper
writer.dmLevel=spec
[mag:cFFTmagphase]
reader.dmLevel=spec
writer.dmLevel=mag
[bands:cMelspec]
reader.dmLevel=mag
writer.dmLevel=bands
htkcompatible=1
usePower=1
specScale=mel
nBands=26
lofreq={low}
hifreq=8000
[cepstrum:{component}]
reader.dmLevel=bands
writer.dmLevel=cepstrum
htkcompatible=1
{settings}
[out:cVectorConcat]
reader.dmLevel=cepstrum
writer.dmLevel=lld
\{{\cm[sink{{?}}:include external sink]}}
"""

Chain = Callable[..., np.ndarray]


@pytest.fixture
def opensmile_chain(tmp_path: Path) -> Chain:
    """A function: openSMILE's frames (aligned left) of the last component of its HTK chain."""
    opensmile = pytest.importorskip("opensmile")

    def run(
        x: np.ndarray, component: str, settings: str, *, k: float = 0.0, low: float = 0.0
    ) -> np.ndarray:
        before = "emph" if k else "cut"
        config = tmp_path / "chain.conf"
        config.write_text(
            FRONT_END.format(component=component, settings=settings, k=k, low=low, before=before)
        )
        smile = opensmile.Smile(feature_set=str(config), feature_level="lld")
        # The wrapper multiplies by 32768 and cuts; full scale is 32767 in the binary.
        return smile(x.astype(np.float32) * np.float32(32767 / 32768), 16_000)[0].T

    return run


@pytest.fixture(scope="session")
def speechlike() -> np.ndarray:
    """2 s of noise through two resonances, on the 16-bit grid, at 16 kHz."""
    from scipy.signal import lfilter

    poles = [0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.95 * np.exp(1j), 0.95 * np.exp(-1j)]
    x = lfilter([1], np.poly(poles).real, np.random.default_rng(0).standard_normal(32_000))
    return np.round(x / np.abs(x).max() * 0.5 * 32767) / 32767
