"""The port of the lab: opened on this computer only, closed with everything that was uploaded.

Conventions
-----------
uvicorn ends on SIGINT and SIGTERM by letting the application close, which deletes the uploads. What
a server that was killed outright left behind is deleted by the next one.

Contents
--------
`bind`  : a socket, refused beyond this computer unless that is asked for in so many words.
`serve` : runs until it is told to stop.     `configured` : uvicorn, with limits.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from serfeat.errors import SerfeatError
from serfeat.lab.app import make_app
from serfeat.lab.guards import LOCAL
from serfeat.lab.state import Lab, Options
from serfeat.lab.uploads import sweep_dead

__all__ = ["address", "bind", "configured", "serve"]

WARM = "serfeat.lab.warmed"
PATIENCE = 30.0  # s for the head of a request
HEAD = 16_384  # bytes of it
FRAME = 1 << 20  # bytes of a WebSocket's message


class _Impatient(H11Protocol):
    """uvicorn's protocol, which would wait for the rest of a request's head for ever."""

    _timer: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # asyncio leaves Nagle's algorithm on where the listening socket was opened by others: 40 ms
        # from request to answer.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        waits = self.conn.their_state is h11.IDLE
        if waits and self._timer is None:
            self._timer = self.loop.call_later(PATIENCE, self._give_up)
        elif not waits and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which ends without a word about the requests that it cuts off."""

    def __init__(self, config: uvicorn.Config, lab: Lab) -> None:
        super().__init__(config)
        self.lab = lab

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        # Requests that compute are told so at once, and the others have the time of grace.
        ending = asyncio.create_task(asyncio.to_thread(self.lab.stop))
        await super().shutdown(sockets)
        await ending


def bind(host: str = "127.0.0.1", port: int = 0, *, understood: bool = False) -> socket.socket:
    """Open the port.

    Parameters
    ----------
    host : an address or a name of this computer.
    port : 0 takes a free one.
    understood : whoever starts it knows that others can then reach it.

    Raises
    ------
    SerfeatError : another address than this computer's own without `understood`; a port in use.
    """
    if not _loopback(host) and not understood:
        raise SerfeatError(
            "others in your network could then reach the lab, and what is uploaded to it, in the "
            "clear",
            where=f"--host {host}",
            code="not-loopback",
            fix="leave --host out, or add --i-understand",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SerfeatError(
            f"cannot listen there ({error.strerror})",
            where=f"{host}:{port}",
            code="port",
            fix="choose another --port, or leave it out",
        ) from None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(opened: socket.socket, token: str) -> str:
    """Say what to open in a browser."""
    host, port = opened.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/?token={token}"


def serve(
    options: Options,
    opened: socket.socket,
    *,
    host: str = "127.0.0.1",
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve the lab on an open port until SIGINT or SIGTERM.

    Parameters
    ----------
    ready : called when all that was named could be read, before the first answer.
    """
    sweep_dead()
    lab = Lab(options, warm=WARM)
    hosts = LOCAL if _loopback(host) else (*LOCAL, host, *_own_names())
    try:
        app = make_app(lab, hosts=hosts)
        ready()
        with suppress(KeyboardInterrupt):  # which is how it is meant to end
            _Server(configured(app), lab).run(sockets=[opened])
    finally:
        lab.close()


def configured(app: Starlette) -> uvicorn.Config:
    """Uvicorn with the limits that a server on a desk needs."""
    return uvicorn.Config(
        app,
        http=_Impatient,
        ws="websockets-sansio",
        h11_max_incomplete_event_size=HEAD,
        ws_max_size=FRAME,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        limit_concurrency=200,
        access_log=False,
        server_header=False,
        log_level="warning",
    )


def _own_names() -> tuple[str, ...]:
    """Names and addresses that others may know this computer by."""
    name = socket.gethostname()
    try:
        found = {str(a[4][0]) for a in socket.getaddrinfo(name, None)}
    except OSError:
        found = set()
    return (name.lower(), *sorted(f"[{a}]" if ":" in a else a for a in found))
