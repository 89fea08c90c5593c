"""`fetch` against a server of our own on 127.0.0.1; nothing leaves this machine."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serfeat.corpora import fetch as module
from serfeat.corpora.fetch import fetch, fetch_card, unpack
from serfeat.errors import CorpusError, UnknownNameError
from serfeat.manifest import Card, Download


def zipped(members: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return raw.getvalue()


BLOB = zipped({"wav/03a01Fa.wav": bytes(range(256)) * 40, "readme.txt": b"hello"})


class Host:
    """What the server sends and what it was asked."""

    def __init__(self) -> None:
        self.body = BLOB
        self.status = 200
        self.cut = 0  # bytes after which the connection breaks, once
        self.resumes = True
        self.ranges: list[str | None] = []
        self.url = ""


@pytest.fixture
def host() -> Iterator[Host]:
    state = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = int(asked.split("=")[1].split("-")[0]) if asked and state.resumes else 0
            body = state.body[start:]
            if start >= len(state.body):
                self.send_error(416)
                return
            self.send_response(206 if start else state.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut:
                body, state.cut = body[: state.cut], 0
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/toy.zip"
    yield state
    server.shutdown()
    server.server_close()


def card(host: Host, *, checksum: str | None = None, size: int | None = None) -> Card:
    known = f"md5:{hashlib.md5(BLOB).hexdigest()}" if checksum is None else checksum
    download = Download(host.url, known, len(BLOB) if size is None else size)
    return Card("toy", title="Toy", licence="CC BY 9.9", citation="Me", downloads=(download,))


def test_whole(host: Host, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    root = fetch_card(
        card(host), tmp_path / "c", accept_licence=True, progress=lambda a, b: seen.append((a, b))
    )
    assert (root / "wav/03a01Fa.wav").read_bytes() == bytes(range(256)) * 40
    assert seen[-1] == (len(BLOB), len(BLOB))
    assert not (root / ".archives").exists()
    fetch_card(card(host), root, accept_licence=False)  # there already: nothing is asked
    assert host.ranges == [None]


def test_licence_first(host: Host, tmp_path: Path) -> None:
    """Catches a download before the licence is accepted."""
    with pytest.raises(CorpusError, match=r"licence of Toy is: CC BY 9.9.*cite: Me") as caught:
        fetch_card(card(host), tmp_path / "c", accept_licence=False)
    assert caught.value.code == "licence"
    assert host.ranges == []
    assert not (tmp_path / "c").exists()


def test_interrupted_and_resumed(host: Host, tmp_path: Path) -> None:
    """The second run asks for the rest only; catches a .part that is thrown away."""
    host.cut = 100
    with pytest.raises(CorpusError, match=r"stopped after 100.*it resumes"):
        fetch_card(card(host), tmp_path, accept_licence=True)
    assert (tmp_path / ".archives/toy.zip.part").stat().st_size == 100
    root = fetch_card(card(host), tmp_path, accept_licence=True)
    assert host.ranges == [None, "bytes=100-"]
    assert (root / "readme.txt").read_bytes() == b"hello"


def test_host_that_cannot_resume(host: Host, tmp_path: Path) -> None:
    """It sends all again with 200; catches appending that to the part."""
    host.cut, host.resumes = 100, False
    with pytest.raises(CorpusError, match="stopped after"):
        fetch_card(card(host), tmp_path, accept_licence=True)
    seen: list[tuple[int, int]] = []
    root = fetch_card(
        card(host), tmp_path, accept_licence=True, progress=lambda a, b: seen.append((a, b))
    )
    assert (root / "readme.txt").exists()
    assert seen[-1] == (len(BLOB), len(BLOB))


def test_part_that_is_too_long(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives/toy.zip.part").write_bytes(b"x" * (len(BLOB) + 5))
    with pytest.raises(CorpusError, match="answers 416"):
        fetch_card(card(host), tmp_path, accept_licence=True)
    fetch_card(card(host), tmp_path, accept_licence=True)


def test_wrong_checksum(host: Host, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="another checksum") as caught:
        fetch_card(card(host, checksum=f"md5:{'0' * 32}"), tmp_path, accept_licence=True)
    assert caught.value.code == "wrong-checksum"
    assert not (tmp_path / "readme.txt").exists()


def test_first_use_is_recorded(host: Host, tmp_path: Path) -> None:
    """No published checksum: said once, then expected; catches the record not being read."""
    unknown = card(host, checksum="", size=0)
    with pytest.warns(UserWarning, match=hashlib.sha256(BLOB).hexdigest()):
        fetch_card(unknown, tmp_path, accept_licence=True)
    (tmp_path / module.DONE).unlink()
    host.body = zipped({"other.txt": b"changed"})
    with pytest.raises(CorpusError, match="another checksum"):
        fetch_card(unknown, tmp_path, accept_licence=True)


def test_web_page_instead_of_archive(host: Host, tmp_path: Path) -> None:
    host.body = b"<!DOCTYPE html><title>Please log in</title>"
    with pytest.raises(CorpusError, match="a web page, not an archive: '<!DOCTYPE"):
        fetch_card(card(host, checksum="", size=0), tmp_path, accept_licence=True)
    assert not list((tmp_path / ".archives").iterdir())


def test_error_of_the_host(tmp_path: Path, host: Host) -> None:
    gone = Card("x", downloads=(Download("http://127.0.0.1:9/none.zip", "md5:0"),))
    with pytest.raises(CorpusError, match="stopped after 0 bytes"):
        fetch_card(gone, tmp_path, accept_licence=True)
    local = Card("x", downloads=(Download("file:///etc/passwd", "md5:0"),))
    with pytest.raises(CorpusError, match=r"not an http"):
        fetch_card(local, tmp_path, accept_licence=True)


def test_wrong_content_is_not_marked_as_done(host: Host, tmp_path: Path) -> None:
    def verify(root: Path) -> None:
        raise CorpusError(f"only {len(list(root.glob('wav/*')))} files")

    with pytest.raises(CorpusError, match="only 1 files"):
        fetch_card(card(host), tmp_path, accept_licence=True, verify=verify)
    assert not (tmp_path / module.DONE).exists()


def test_disk_full(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorpusError, match="are needed"):
        fetch_card(card(host, size=10**17), tmp_path, accept_licence=True)
    assert host.ranges == []


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a/../../evil", "..\\evil", "C:/x"])
def test_members_stay_inside(tmp_path: Path, name: str) -> None:
    """Refused as a whole; catches zipfile's silent repair being trusted."""
    (tmp_path / "a.zip").write_bytes(zipped({"good.txt": b"1", name: b"2"}))
    with pytest.raises(CorpusError, match="would leave the folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_bombs_and_damage(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(link, "/etc/passwd")
    with pytest.raises(CorpusError, match="is a link"):
        unpack(archive, tmp_path / "out")
    archive.write_bytes(zipped({"zeros": bytes(10_000_000)}))
    with pytest.raises(CorpusError, match="more than any corpus"):
        unpack(archive, tmp_path / "out")
    for raw in (b"PK nonsense", BLOB[:-30], BLOB[:60] + b"\xff\xff\xff" + BLOB[63:]):
        archive.write_bytes(raw)
        with pytest.raises(CorpusError, match="not a whole zip"):
            unpack(archive, tmp_path)


def test_corpora_without_download() -> None:
    with pytest.raises(CorpusError, match="cannot be downloaded by a program; Register at the"):
        fetch("savee", accept_licence=True)
    with pytest.raises(CorpusError, match="is a layout"):
        fetch("folders", accept_licence=True)
    with pytest.raises(UnknownNameError, match="did you mean 'emodb'"):
        fetch("emobd", accept_licence=True)


def test_fetch_counts_what_it_unpacked(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMO-DB's card pointed at our toy zip of one file: the counts say that it is not whole."""
    whole = module.find_corpus("emodb")
    text = Path(module.__file__).parent.parent.parent / "data_manifests" / "emodb.toml"
    (tmp_path / "emodb.toml").write_text(
        text.read_text().replace("http://emodb.bilderbar.info/download/download.zip", host.url)
    )
    monkeypatch.setattr("serfeat.corpora.cards_folder", lambda: tmp_path)
    assert whole.card is not None
    with (
        pytest.warns(UserWarning, match="no published checksum"),
        pytest.raises(CorpusError, match=r"expected 49"),
    ):
        fetch("emodb", tmp_path / "c", accept_licence=True)
