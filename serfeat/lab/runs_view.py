"""The Runs view: stored comparisons, from the leaderboard down to the clip that was misheard.

Routes (all JSON unless said otherwise)
---------------------------------------
``/api/runs/list``                 : the runs in the runs folder; one that is damaged says why.
``/api/runs/{run}/overview``       : words, marks, leaderboards, tested pairs, lint.
``/api/runs/{run}/confusion``      : ?protocol &entry.
``/api/runs/{run}/speakers``       : ?protocol &entry.
``/api/runs/{run}/clips``          : ?protocol &entry &truth &prediction &speaker &first.
``/api/runs/{run}/versus``         : ?protocol &a &b &who &truth &first.
``/api/runs/{run}/report`` (POST)  : {"address"} of the report page, for a new tab.
``/report/{ticket}``               : that page, HTML under a policy of its own.

A run is named by its identifier (`serfeat.lab.run_tables`); no name in a request becomes a path. A
new tab cannot send the token, so the report's address holds a ticket that opens this page alone.
The page is a stranger's where the run came by mail: its policy allows no script, no form and no
request, whatever is written in it.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serfeat.lab.run_tables import (
    by_speaker,
    clips,
    confusion,
    of_entry,
    overview,
    runs_below,
    said,
    unreadable,
    versus,
)
from serfeat.lab.state import Lab, LabError, answer
from serfeat.runs import list_runs

__all__ = ["routes"]

KEPT = 4  # runs whose predictions stay in memory
TICKETS = 100
PAGE = 50  # clips in one answer
REPORT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "sandbox",
    )
)

Stamp = tuple[tuple[int, int], ...]


class _Runs:
    """The runs folder of a lab, and what was last read from it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.options.runs
        self._tables: OrderedDict[tuple[str, Stamp], tuple[list[str], pd.DataFrame]] = OrderedDict()
        self._overviews: OrderedDict[tuple[str, Stamp], dict[str, Any]] = OrderedDict()
        self._tickets: OrderedDict[str, str] = OrderedDict()

    def path(self, run: str) -> Path:
        """The folder of a run."""
        found = runs_below(self.folder).get(run)
        if found is None:
            raise LabError(404, "no such run (any more)", code="no-such-run")
        return found

    def listed(self) -> dict[str, Any]:
        """What there is, newest first, and how to make one where there is nothing."""
        known = runs_below(self.folder)
        if not known:
            return {"runs": [], "how": "serfeat demo"}
        table = list_runs(self.folder)
        own = self.folder.resolve().name
        names = {p.relative_to(self.folder).as_posix(): run for run, p in known.items()}
        names |= {own: names["."]} if "." in names else {}
        rows = [
            {"id": names[row["name"]], **row, "problem": _without(row["problem"], self.folder)}
            for row in table.to_dict("records")
            if row["name"] in names
        ]
        return {"runs": sorted(rows, key=lambda r: r["created"], reverse=True), "how": ""}

    async def overview(self, run: str) -> dict[str, Any]:
        """See `run_tables.overview`; computed in a worker, since it tests every pair."""
        path = self.path(run)
        key = run, _stamp(path)
        found = self._overviews.get(key)
        if found is None:
            found = self._overviews[key] = await self.lab.work(overview, path)
            while len(self._overviews) > KEPT:
                self._overviews.popitem(last=False)
        return found

    def said(self, run: str) -> tuple[list[str], pd.DataFrame]:
        """Labels and predictions of a run."""
        path = self.path(run)
        key = run, _stamp(path)
        found = self._tables.get(key)
        if found is None:
            found = self._tables[key] = said(path)
            while len(self._tables) > KEPT:
                self._tables.popitem(last=False)
        return found

    def ticket(self, run: str) -> str:
        """A new ticket for the report of a run."""
        self.path(run)
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = run
        while len(self._tickets) > TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    def reported(self, ticket: str) -> Path:
        """The folder whose report a ticket opens."""
        run = self._tickets.get(ticket)
        if run is None:
            raise LabError(404, "this address is no longer good: open the report from the lab")
        return self.path(run)

    def heard(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A clip of a run with the id of its sound; None where its corpus is not open."""
        end = None if pd.isna(row["end"]) else row["end"]
        sound = self.lab.sounds.find(row["file"], row["start"], end, corpus=row["corpus"])
        return {**row, "sound": sound}


def _stamp(folder: Path) -> Stamp:
    """Size and time of the files of a run: another stamp, another run."""
    files = [folder / name for name in ("run.json", "predictions.parquet", "lint.json")]
    found = [f.stat() for f in files if f.is_file()]
    return tuple((facts.st_size, facts.st_mtime_ns) for facts in found)


def _without(words: str, folder: Path) -> str:
    """An error's words without the place of the runs folder on this disk."""
    for place in (folder.resolve(), folder):
        words = words.replace(f"{place}/", "").replace(str(place), folder.name)
    return words


def page_of(folder: Path) -> str:
    """The report page of a run, made anew from what is stored; runs in a worker."""
    from serfeat.report.page import render
    from serfeat.report.run import read_run

    try:
        return render(read_run(folder))
    except Exception as problem:  # whatever a stranger's run.json makes a template stumble over
        raise unreadable(folder, problem) from problem


# --- routes -----------------------------------------------------------------------------------


def routes(lab: Lab) -> list[BaseRoute]:
    """The routes of this view."""
    runs = _Runs(lab)
    below = "/api/runs/{run}"

    async def listed(_: Request) -> Response:
        return answer(await lab.thread(runs.listed))

    async def about(request: Request) -> Response:
        return answer(await runs.overview(request.path_params["run"]))

    def of_one(compute: Callable[..., Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return answer(await lab.thread(compute, runs, request))

        return endpoint

    async def ticket(request: Request) -> Response:
        made = await lab.thread(runs.ticket, request.path_params["run"])
        return answer({"address": f"/report/{made}"})

    async def report(request: Request) -> Response:
        folder = await lab.thread(runs.reported, request.path_params["ticket"])
        text = await lab.work(page_of, folder)
        headers = {"Content-Security-Policy": REPORT_POLICY}
        return Response(text.encode("utf-8", "replace"), media_type="text/html", headers=headers)

    return [
        Route("/api/runs/list", listed),
        Route(f"{below}/overview", about),
        Route(f"{below}/confusion", of_one(_confusion)),
        Route(f"{below}/speakers", of_one(_speakers)),
        Route(f"{below}/clips", of_one(_clips)),
        Route(f"{below}/versus", of_one(_versus)),
        Route(f"{below}/report", ticket, methods=["POST"]),
        Route("/report/{ticket}", report),
    ]


def _rows(runs: _Runs, request: Request, entry: str) -> tuple[list[str], pd.DataFrame]:
    """Labels, and the predictions of the entry that a parameter of the request names."""
    labels, table = runs.said(request.path_params["run"])
    asked = request.query_params
    return labels, of_entry(table, asked.get("protocol", ""), asked.get(entry, ""))


def _confusion(runs: _Runs, request: Request) -> dict[str, Any]:
    labels, rows = _rows(runs, request, "entry")
    return confusion(rows, labels)


def _speakers(runs: _Runs, request: Request) -> list[dict[str, Any]]:
    labels, rows = _rows(runs, request, "entry")
    return by_speaker(rows, labels)


def _clips(runs: _Runs, request: Request) -> dict[str, Any]:
    _, rows = _rows(runs, request, "entry")
    wanted = {k: request.query_params.get(k, "") for k in ("truth", "prediction", "speaker")}
    found = clips(rows, **wanted, first=_first(request), count=PAGE)
    return {**found, "rows": [runs.heard(row) for row in found["rows"]]}


def _versus(runs: _Runs, request: Request) -> dict[str, Any]:
    labels, a = _rows(runs, request, "a")
    _, b = _rows(runs, request, "b")
    wanted = {k: request.query_params.get(k, "") for k in ("who", "truth")}
    found = versus(a, b, labels, **wanted, first=_first(request), count=PAGE)
    return {**found, "rows": [runs.heard(row) for row in found["rows"]]}


def _first(request: Request) -> int:
    """The parameter `first`: how many clips were shown before."""
    text = request.query_params.get("first", "0")
    if not text.isdecimal() or len(text) > 9:
        raise LabError(400, "first: expected a whole number", code="bad-parameter")
    return int(text)
