"""What all views of the lab share: its options, its recordings, its workers.

Contents
--------
`Options` : what the command line said.
`Lab`     : recordings by id, samples by id, work in another process or thread.
`Sound`, `Recording`, `LabError`, `answer`, `block` : for the views, from their own modules.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from serfeat.audio import Audio
from serfeat.errors import ManifestError, SerfeatError
from serfeat.lab.answers import LabError, answer, block
from serfeat.lab.sounds import Recording, Sound, Sounds, decode
from serfeat.lab.workers import BUDGET, Workers
from serfeat.manifest import Manifest

__all__ = ["Lab", "LabError", "Options", "Recording", "Sound", "Sounds", "answer", "block"]

Result = TypeVar("Result")

MB = 1_000_000
DECODED = 64  # recordings whose samples are kept


@dataclass(frozen=True)
class Options:
    """What the command line said.

    Parameters
    ----------
    corpora : name -> manifest.
    folders : of recordings; labels are those of their ``manifest.csv``, if they hold one.
    runs : folder of stored comparisons; may not exist.
    models : folders of trained models (``model.serfeat``).
    token : what a page must know.
    upload_limit : bytes.
    workers : processes that compute.
    """

    corpora: Mapping[str, Manifest] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    runs: Path = Path("runs")
    models: tuple[Path, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    upload_limit: int = 100 * MB
    workers: int = 2


MISTAKEN = {  # what a folder that was given for recordings holds -> what it is, what to say
    "run.json": ("a stored comparison", "--runs"),
    "card.json": ("a trained model", "--model"),
}


def _read(place: Path) -> Manifest:
    """Read a folder of recordings, a manifest or a recording.

    Raises
    ------
    ManifestError : no recordings; a folder of something else that the lab can show.
    """
    from serfeat.extract import as_manifest

    for file, (what, option) in MISTAKEN.items():
        if any((folder / file).is_file() for folder in (place, *place.glob("*/"))):
            raise ManifestError(
                f"is {what}, expected recordings",
                where=place,
                code="not-recordings",
                fix=f"serfeat lab {option} {place}",
            )
    return as_manifest(place)


class Lab:
    """The state of one server.

    Parameters
    ----------
    options : see there.
    warm : a module that its workers import first; see `Workers`.

    Attributes
    ----------
    sounds : `Sounds`, every recording by id.
    folder : for uploads and decoded samples; nobody else may read it, and it goes with the server.
    """

    def __init__(self, options: Options, *, warm: str = "") -> None:
        self.options = options
        manifests = dict(options.corpora)
        for place in options.folders:
            found = _read(place)
            name = found.name
            while name in manifests:
                name += "'"
            manifests[name] = found
        self.sounds = Sounds(manifests)
        self.folder = Path(tempfile.mkdtemp(prefix=f"serfeat-lab-{os.getpid()}-"))
        self.workers = Workers(options.workers, warm)
        self.background = Workers(1)  # for work of minutes: no request waits behind it
        self._decoded: OrderedDict[str, asyncio.Task[Recording]] = OrderedDict()

    async def work(
        self, function: Callable[..., Result], *arguments: Any, budget: float = BUDGET
    ) -> Result:
        """Compute ``function(*arguments)`` in a warm process; see `Workers.work`."""
        return await self.workers.work(function, *arguments, budget=budget)

    async def thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Compute something short, of NumPy and pandas alone, in a thread of this process."""
        return await asyncio.to_thread(function, *arguments)

    async def recording(self, sound: str) -> Recording:
        """Samples of a sound, decoded once, in a worker.

        Raises
        ------
        LabError : 404, no such sound; of `work`.
        AudioError : it cannot be read.
        """
        if sound not in self._decoded:
            found = self.sounds.get(sound)
            self._decoded[sound] = asyncio.create_task(self._decode(found))
            self._drop_old()
        self._decoded.move_to_end(sound)
        task = self._decoded[sound]
        try:
            # Several may wait for it: one that gives up must not take it from the others.
            return await asyncio.shield(task)
        except Exception:
            self._decoded.pop(sound, None)  # the next one tries again
            raise

    async def audio(self, sound: str) -> Audio:
        """Samples of a sound as `serfeat.audio.Audio`, mapped from the file of ours."""
        return (await self.recording(sound)).audio()

    def forget(self, sound: str) -> None:
        """Delete an uploaded sound: its file, its samples and its entry."""
        found = next((s for s in self.sounds.uploaded() if s.id == sound), None)
        self.sounds.forget(sound)
        self._decoded.pop(sound, None)
        if found is not None:
            found.path.unlink(missing_ok=True)
        self._samples(sound).unlink(missing_ok=True)

    def stop(self) -> None:
        """End the workers; requests that wait for them are told."""
        self.workers.stop()
        self.background.stop()

    def close(self) -> None:
        """End the workers and delete everything that was uploaded or decoded."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _decode(self, sound: Sound) -> Recording:
        target = self._samples(sound.id)
        try:
            return await self.work(decode, sound.path, sound.start, sound.end, target)
        except SerfeatError as error:
            if error.where == str(sound.path):
                error.where = sound.name  # the page need not know where on this disk
            raise

    def _samples(self, sound: str) -> Path:
        return self.folder / f"{sound}.npy"

    def _drop_old(self) -> None:
        done = [s for s, task in self._decoded.items() if task.done()]
        for old in done[: max(0, len(self._decoded) - DECODED)]:
            self._decoded.pop(old)
            self._samples(old).unlink(missing_ok=True)
