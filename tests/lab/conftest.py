"""A lab without a browser: the application in this process, its workers beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra lab is not installed")
pytest.importorskip("uvicorn", reason="the extra lab is not installed")

SR = 16_000


@pytest.fixture(scope="session")
def token() -> str:
    return "a-token-of-the-tests"


@pytest.fixture(scope="session")
def wav() -> Callable[..., bytes]:
    def make(x: np.ndarray[Any, Any], sr: int = SR) -> bytes:
        target = io.BytesIO()
        soundfile.write(target, x, sr, format="WAV", subtype="PCM_16")
        return target.getvalue()

    return make


@pytest.fixture(scope="session")
def buzz() -> Callable[..., np.ndarray[Any, Any]]:
    def make(seconds: float, f0: float = 120.0, sr: int = SR) -> np.ndarray[Any, Any]:
        """Harmonics of a voice, between two stretches of silence."""
        t = np.arange(round(seconds * sr)) / sr
        x = sum(np.cos(2 * np.pi * f0 * h * t) / h for h in range(1, 20)) * 0.15
        return np.asarray(x * ((t > 0.2 * seconds) & (t < 0.8 * seconds)))

    return make


@pytest.fixture(scope="session")
def voice(wav: Any, buzz: Any) -> bytes:
    return bytes(wav(buzz(1.0)))


@pytest.fixture(scope="module")
def lab(token: str) -> Any:
    from serfeat.lab.state import Lab, Options

    return Lab(Options(token=token, upload_limit=1_000_000, workers=1))


@pytest.fixture(scope="module")
def client(lab: Any, token: str) -> Iterator[Any]:
    from starlette.testclient import TestClient

    from serfeat.lab.app import make_app

    headers = {"X-Serfeat-Token": token}
    with TestClient(make_app(lab), base_url="http://127.0.0.1:8000", headers=headers) as made:
        yield made
