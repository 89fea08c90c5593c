"""Who may ask the lab anything: the checks that stand before every route.

Conventions
-----------
The server is on this computer, but so is every page that the browser has open. A page elsewhere
may send requests here, and may even give its own host name our address (DNS rebinding). So:

* the Host header must be a name of this computer; a foreign Origin is refused;
* whatever answers with more than the page's own files wants the token, in a header that a foreign
  page cannot set, or as the first message of a WebSocket;
* the page may load nothing from elsewhere, run nothing inline, and be framed by nobody.

Contents
--------
`Guard`    : the checks and the headers, around an ASGI application.
`greet`    : accepts a WebSocket once it has sent the token.
`page_key` : what a cookie may know: opens the page, and nothing else.

Sources
-------
OWASP cheat sheets: Cross-Site Request Forgery Prevention, Content Security Policy, WebSocket
Security.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from serfeat.lab.answers import LabError, failure

__all__ = ["LOCAL", "Guard", "greet", "page_key", "same"]

LOCAL = ("127.0.0.1", "localhost", "[::1]")
PATIENCE = 30.0  # s for the first message of a WebSocket
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}


def same(given: str, token: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def page_key(token: str) -> str:
    """Derive what a cookie may hold: a browser sends it to every port of this computer."""
    return hmac.new(token.encode(), b"page", hashlib.sha256).hexdigest()


class Guard:
    """The checks before, and the headers behind, every request.

    Parameters
    ----------
    app : what is guarded.
    token : of the server.
    hosts : names that this server is known by, without port.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str] = LOCAL) -> None:
        self.app = app
        self.token = token
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)  # the report page has a policy of its own
            await send(message)

        target: Any = self.app if refusal is None else failure(refusal)
        await target(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> LabError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self.hosts or len(headers.getlist("host")) != 1:
            return LabError(
                421, "this server is not known by that name", code="wrong-host",
                fix="open the address that it printed",
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return LabError(403, "a page from elsewhere may not ask here", code="wrong-origin")
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            if not same(headers.get("x-serfeat-token", ""), self.token):
                return LabError(
                    403, "the token is missing or wrong", code="wrong-token",
                    fix="open the address that `serfeat lab` printed",
                )  # fmt: skip
        elif scope["type"] == "websocket" and origin is None:
            return LabError(403, "a WebSocket without an origin", code="wrong-origin")
        return None


def _name(host: str) -> str:
    """The name in a Host header, without the port; empty where it makes no sense."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port  # a port that is no number raises
    except ValueError:
        return ""
    if parts.username is not None or parts.path:
        return ""
    return f"[{name}]" if ":" in name else name


async def greet(socket: WebSocket, token: str) -> bool:
    """Accept a WebSocket whose first message is ``{"token": ...}`` with the right token.

    Returns
    -------
    False where it was closed instead.
    """
    await socket.accept()
    try:
        first = await asyncio.wait_for(socket.receive_json(), PATIENCE)
        given = first.get("token") if isinstance(first, dict) else None
    except (ValueError, KeyError, TimeoutError, RuntimeError):
        given = None
    if isinstance(given, str) and same(given, token):
        return True
    await socket.close(1008, "the token is missing or wrong")
    return False
