"""The lab as an ASGI application: the page's files and the routes of all views, behind the guards.

Contents
--------
`VIEWS`    : the modules that answer, each below a prefix of its own.
`make_app` : a lab -> the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serfeat import __version__
from serfeat.errors import SerfeatError
from serfeat.lab import guards
from serfeat.lab.answers import LabError, answer, failure
from serfeat.lab.state import Lab
from serfeat.lab.uploads import delete_old

__all__ = ["VIEWS", "make_app"]

VIEWS = ("sound_view", "emotion", "live", "runs_view", "corpus_view")

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
SWEEP = 60.0  # s between two looks at what is too old


def make_app(lab: Lab, *, hosts: tuple[str, ...] = guards.LOCAL) -> Starlette:
    """Build the application of a lab.

    Parameters
    ----------
    lab : closed when the application ends.
    hosts : names that the server is known by.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        lab.workers.start()
        sweeper = asyncio.create_task(_sweep(lab))
        try:
            yield
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await asyncio.to_thread(lab.close)

    async def unexpected(_: Request, error: Exception) -> Response:
        return failure(error)

    return Starlette(
        routes=[*_pages(lab), Route("/api/about", _about(lab)), *_views(lab)],
        middleware=[Middleware(guards.Guard, token=lab.options.token, hosts=hosts)],
        exception_handlers={SerfeatError: unexpected, Exception: unexpected},
        lifespan=lifespan,
    )


def _views(lab: Lab) -> list[BaseRoute]:
    """Routes of the views, in the order of `VIEWS`."""
    found: list[BaseRoute] = []
    for name in VIEWS:
        found += import_module(f"serfeat.lab.{name}").routes(lab)
    return found


def _pages(lab: Lab) -> list[BaseRoute]:
    """The page's own files, read once: no name in an address becomes a path."""
    files = {p.name: p for p in PAGE.iterdir() if p.suffix in TYPES}
    key = guards.page_key(lab.options.token)
    cookie_name = f"serfeat-{key[:8]}"  # cookies know no ports: each lab has its own

    async def index(request: Request) -> Response:
        token = request.query_params.get("token", "")
        cookie = request.cookies.get(cookie_name, "")
        if not guards.same(token, lab.options.token) and not guards.same(cookie, key):
            return Response(
                "The token is missing or wrong: open the address that `serfeat lab` printed.\n",
                status_code=403,
                media_type="text/plain",
            )
        response = Response(files["index.html"].read_bytes(), media_type="text/html")
        # The address loses the token at once; a reload is let in by this. It opens nothing else.
        response.set_cookie(cookie_name, key, httponly=True, samesite="strict", path="/")
        return response

    async def page(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None or path.name == "index.html":
            raise LabError(404, "the page has no such part")
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])

    async def icon(_: Request) -> Response:
        return Response(status_code=204)

    return [Route("/", index), Route("/page/{name}", page), Route("/favicon.ico", icon)]


def _about(lab: Lab) -> Callable[[Request], Awaitable[Response]]:
    """What the lab was opened with."""

    async def about(_: Request) -> Response:
        options = lab.options
        return answer(
            {
                "version": __version__,
                "corpora": {n: len(m) for n, m in lab.sounds.manifests.items()},
                "models": [m.name for m in options.models],
                "runs": options.runs.name if options.runs.is_dir() else None,
                "upload_limit": options.upload_limit,
            }
        )

    return about


async def _sweep(lab: Lab) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        delete_old(lab)
