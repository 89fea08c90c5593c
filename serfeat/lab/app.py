"""The lab as an ASGI application: the page's files and the routes of all views, behind the guards.

Conventions
-----------
A view is imported when it is first asked, or in the background soon after the page has come: what
one tab needs (scikit-learn takes seconds) must not keep the first page waiting.

Contents
--------
`VIEWS`    : the modules that answer, and the prefix of each.
`make_app` : a lab -> the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

from serfeat import __version__
from serfeat.errors import SerfeatError
from serfeat.lab import guards
from serfeat.lab.answers import LabError, answer, failure
from serfeat.lab.state import Lab
from serfeat.lab.uploads import delete_old

__all__ = ["VIEWS", "make_app"]

VIEWS = {  # prefix -> module
    "sound": "sound_view",
    "emotion": "emotion",
    "live": "live",
    "runs": "runs_view",
    "corpus": "corpus_view",
}
FIRST = "sound"  # the tab that a page opens with
QUIET = 8.0  # s after which the other views are imported: the first picture has come by then

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
    views = {prefix: _imported_once(lab, name) for prefix, name in VIEWS.items()}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        aside = (_sweep(lab), asyncio.to_thread(lab.workers.start), _import_all(views))
        tasks = [asyncio.create_task(work) for work in aside]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(lab.close)

    async def unexpected(_: Request, error: Exception) -> Response:
        return failure(error)

    return Starlette(
        routes=[
            *_pages(lab),
            Route("/api/about", _about(lab)),
            *(_Below(f"/api/{prefix}", view) for prefix, view in views.items()),
            _Below("/report", views["runs"]),
        ],
        middleware=[Middleware(guards.Guard, token=lab.options.token, hosts=hosts)],
        exception_handlers={SerfeatError: unexpected, Exception: unexpected},
        lifespan=lifespan,
    )


View = Callable[[], Awaitable[Router]]


def _imported_once(lab: Lab, name: str) -> View:
    """Import a view on the first call, in a thread; later calls wait for the same import."""
    found: list[asyncio.Task[Router]] = []

    def routed() -> Router:
        return Router(import_module(f"serfeat.lab.{name}").routes(lab))

    async def view() -> Router:
        if not found:
            found.append(asyncio.create_task(asyncio.to_thread(routed)))
        try:
            return await asyncio.shield(found[0])
        except Exception:
            found.clear()  # the next one tries again
            raise

    return view


class _Below(BaseRoute):
    """All that lies below the prefix of a view, whose own routes know the whole path."""

    def __init__(self, prefix: str, view: View) -> None:
        self.prefix = prefix
        self.view = view

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope.get("path", "")
        below = path == self.prefix or path.startswith(f"{self.prefix}/")
        known = scope["type"] in ("http", "websocket") and below
        return (Match.FULL if known else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self.view())(scope, receive, send)


async def _import_all(views: Mapping[str, View]) -> None:
    """Import what the first page asks for at once, the others when it has come."""
    with suppress(Exception):  # whoever asks for that view is told
        await views[FIRST]()
    await asyncio.sleep(QUIET)
    for view in views.values():
        with suppress(Exception):
            await view()


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
