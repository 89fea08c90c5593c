"""The Corpus view: what is in a corpus, how its features are spread, what could not be measured.

Routes (JSON unless said otherwise; ``{corpus}`` is a number of the list)
-------------------------------------------------------------------------
``/api/corpus/list``                  : the corpora, the feature sets, whether UMAP is installed.
``/api/corpus/{corpus}/overview``     : counts, balance, coverage.
``/api/corpus/{corpus}/durations``    : the distribution of durations by emotion.
``/api/corpus/{corpus}/clips``        : ?speaker &emotion &first.
``/api/corpus/{corpus}/features``     : ?set: how far they are; POST begins, POST &cancel=1 ends.
``/api/corpus/{corpus}/columns``      : ?set: names, units, how far emotions and speakers differ.
``/api/corpus/{corpus}/distribution`` : ?set &column &by.
``/api/corpus/{corpus}/failures``     : ?set.
``/api/corpus/{corpus}/map``          : ?set &kind &by: a block of points; ids of sounds in `about`.

Features are computed in the background and come from the store where they were computed before.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serfeat.errors import did_you_mean
from serfeat.feature_sets import FEATURE_SETS
from serfeat.lab.background import Tasks
from serfeat.lab.corpus_tables import (
    MAPS,
    distribution,
    flat,
    groups_of,
    measure,
    neighbours,
    overview,
    seconds_of,
    separation,
)
from serfeat.lab.state import Lab, LabError, answer, block
from serfeat.manifest import Manifest

__all__ = ["routes"]

PAGE = 50  # clips in one answer
KEPT = 8  # maps and durations that stay in memory
BY = ("emotion", "speaker", "sex", "language", "session", "text_id")
SLOW = 600.0  # s that a map may take: UMAP compiles itself first


class _Corpora:
    """The corpora of a lab, and what was computed of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tasks = Tasks(lab, "corpus")
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def manifest(self, request: Request) -> Manifest:
        """The corpus that a request names."""
        known: list[Manifest] = list(self.lab.sounds.manifests.values())
        number = int(request.path_params["corpus"])
        if not 0 <= number < len(known):
            raise LabError(404, "no such corpus", code="no-such-corpus")
        return known[number]

    def listed(self) -> dict[str, Any]:
        """What the page offers."""
        maps = [kind for kind in MAPS if kind == "pca" or find_spec("umap")]
        sets = [
            {"name": f.name, "summary": f.summary}
            for f in FEATURE_SETS.values()
            if not f.external and f.name not in ("waveform",)
        ]
        names = [{"name": n, "rows": len(m)} for n, m in self.lab.sounds.manifests.items()]
        return {"corpora": names, "sets": sets, "maps": maps}

    def name_of(self, request: Request) -> str:
        """The name of the task that measures what a request asks for."""
        chosen = request.query_params.get("set", "classic")
        if chosen not in FEATURE_SETS:
            raise did_you_mean("feature set", chosen, FEATURE_SETS)
        return f"{request.path_params['corpus']} {chosen}"

    def measured(self, request: Request) -> dict[str, Any]:
        """The features of a corpus, once they are there."""
        found = self.tasks.result(self.name_of(request))
        if found is None:
            raise LabError(
                409, "the features of this corpus are not measured yet", code="not-measured",
                fix="measure them first",
            )  # fmt: skip
        return dict(found)

    def by(self, request: Request, manifest: Manifest) -> tuple[str, pd.Series]:
        """The grouping that a request asks for: its name, and the group of every row."""
        column = request.query_params.get("by", "emotion")
        if column not in BY:
            raise did_you_mean("grouping", column, BY)
        return column, groups_of(manifest, column)

    def ids(self, manifest: Manifest, rows: Any) -> list[str | None]:
        """The sounds of some rows of a manifest."""
        name = next(n for n, m in self.lab.sounds.manifests.items() if m is manifest)
        return [
            self.lab.sounds.find(str(file), start, end, corpus=name)
            for file, start, end in manifest.rows.index[rows]
        ]

    def kept(self, key: tuple[Any, ...]) -> Any | None:
        """What was kept under a key, if it still is."""
        return self._kept.get(key)

    def keep(self, key: tuple[Any, ...], value: Any) -> Any:
        """Keep a value while there is room."""
        self._kept[key] = value
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return value


# --- pure answers, in a thread ----------------------------------------------------------------


def _clips(corpora: _Corpora, request: Request) -> dict[str, Any]:
    manifest, asked = corpora.manifest(request), request.query_params
    first = asked.get("first", "0")
    if not first.isdecimal() or len(first) > 9:
        raise LabError(400, "first: expected a whole number", code="bad-parameter")
    keep = np.ones(len(manifest.rows), dtype=bool)
    for column in ("speaker", "emotion"):
        if wanted := asked.get(column, ""):
            keep &= (groups_of(manifest, column) == wanted).to_numpy()
    places = np.flatnonzero(keep)
    page = places[int(first) : int(first) + PAGE]
    return {"total": len(places), "rows": _told(corpora, manifest, page)}


def _told(corpora: _Corpora, manifest: Manifest, places: Any) -> list[dict[str, Any]]:
    """Some rows of a manifest: file, start, end, speaker, emotion, sound."""
    rows = manifest.rows.iloc[places]
    ids = corpora.ids(manifest, places)
    return [
        {"file": str(file), "start": start.total_seconds(), "end": end}
        | {"speaker": str(row["speaker"]), "emotion": str(row["emotion"]), "sound": sound}
        for ((file, start, end), row), sound in zip(rows.iterrows(), ids, strict=True)
    ]


def _columns(corpora: _Corpora, request: Request) -> list[dict[str, Any]]:
    manifest, found = corpora.manifest(request), corpora.measured(request)
    rows, values = found["rows"], found["values"]
    emotion = separation(values, list(groups_of(manifest, "emotion").iloc[rows]))
    speaker = separation(values, list(groups_of(manifest, "speaker").iloc[rows]))
    table = pd.DataFrame(
        {"name": found["columns"], "unit": found["units"], "emotion": emotion, "speaker": speaker}
    )
    return list(table.sort_values("emotion", ascending=False, kind="stable").to_dict("records"))


def _distribution(corpora: _Corpora, request: Request) -> dict[str, Any]:
    manifest, found = corpora.manifest(request), corpora.measured(request)
    column = request.query_params.get("column", "")
    if column not in found["columns"]:
        raise did_you_mean("column", column, found["columns"])
    place = found["columns"].index(column)
    by, groups = corpora.by(request, manifest)
    told = distribution(found["values"][:, place], list(groups.iloc[found["rows"]]))
    return {"column": column, "unit": found["units"][place], "by": by, **told}


def _failures(corpora: _Corpora, request: Request) -> list[dict[str, Any]]:
    manifest, failures = corpora.manifest(request), corpora.measured(request)["failures"]
    root = f"{manifest.root}/"
    return [{**f, "message": f["message"].replace(root, "")} for f in failures]


# --- routes -----------------------------------------------------------------------------------


def routes(lab: Lab) -> list[BaseRoute]:
    """The routes of this view."""
    corpora = _Corpora(lab)

    async def listed(_: Request) -> Response:
        return answer(await lab.thread(corpora.listed))

    async def about(request: Request) -> Response:
        return answer(await lab.thread(overview, corpora.manifest(request)))

    def told(compute: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            return answer(await lab.thread(compute, corpora, request))

        return endpoint

    async def durations(request: Request) -> Response:
        return answer(await _durations(corpora, request))

    async def features(request: Request) -> Response:
        manifest, name = corpora.manifest(request), corpora.name_of(request)
        if request.query_params.get("cancel") and request.method == "POST":
            corpora.tasks.cancel(name)
        elif request.method == "POST":
            chosen = request.query_params.get("set", "classic")
            corpora.tasks.begin(name, measure, manifest, chosen)
        return answer(corpora.tasks.state(name))

    async def mapped(request: Request) -> Response:
        return await _map(corpora, request)

    below = "/api/corpus/{corpus:int}"
    return [
        Route("/api/corpus/list", listed),
        Route(f"{below}/overview", about),
        Route(f"{below}/durations", durations),
        Route(f"{below}/clips", told(_clips)),
        Route(f"{below}/features", features, methods=["GET", "POST"]),
        Route(f"{below}/columns", told(_columns)),
        Route(f"{below}/distribution", told(_distribution)),
        Route(f"{below}/failures", told(_failures)),
        Route(f"{below}/map", mapped),
    ]


async def _durations(corpora: _Corpora, request: Request) -> dict[str, Any]:
    """Durations by emotion; the headers are read once, in a worker: they are strangers' too."""
    manifest = corpora.manifest(request)
    key = "durations", request.path_params["corpus"]
    found = corpora.kept(key)
    if found is None:
        found = corpora.keep(key, await corpora.lab.work(seconds_of, manifest))
    seconds = found["seconds"]
    told = distribution(seconds, list(groups_of(manifest, "emotion")))
    total = float(np.nansum(seconds, dtype=np.float64))
    unread = int(np.isnan(seconds).sum())
    return {"unit": "s", "by": "emotion", "total": total, "unread": unread, **told}


async def _map(corpora: _Corpora, request: Request) -> Response:
    """The points of a map, their groups and their sounds, and what holds in all columns."""
    manifest, found = corpora.manifest(request), corpora.measured(request)
    kind = request.query_params.get("kind", "pca")
    by, groups = corpora.by(request, manifest)
    rows = found["rows"]
    known = {c: list(groups_of(manifest, c).iloc[rows]) for c in ("emotion", "speaker")}
    key = "map", corpora.name_of(request), kind
    kept = corpora.kept(key)
    if kept is None:
        # UMAP compiles itself for a minute, in every process: once, and where no picture waits.
        workers = corpora.lab.background if kind == "umap" else corpora.lab.workers
        place = await workers.work(flat, found["values"], kind, budget=SLOW)
        near = await corpora.lab.thread(neighbours, found["values"], known)
        kept = corpora.keep(key, (place, near, corpora.ids(manifest, rows)))
    place, near, ids = kept
    codes, names = pd.factorize(groups.iloc[rows].to_numpy(dtype=object), sort=True)
    about = {
        "kind": kind,
        "by": by,
        "names": [str(n) for n in names],
        "sounds": ids,
        "files": [str(f) for f in manifest.rows.index.get_level_values("file")[rows]],
        "neighbours": near,
        **{k: place[k] for k in ("words", "explained")},
    }
    return block({"x": place["x"], "y": place["y"], "group": codes.astype(np.int32)}, about)
