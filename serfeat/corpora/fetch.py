"""Get a corpus from its own host.

The licence comes first: nothing is downloaded before the caller says that it is accepted. pooch
keeps the archive and checks its checksum; the download itself resumes from a ``.part`` file. What
arrives is looked at (an error page in place of an archive is named as such), unpacked only inside
the folder and below caps, read with the corpus' reader, and counted against the card. Where a card
has no checksum, the first download records one (``<archive>.sha256``) and later ones must match.
"""

from __future__ import annotations

import shutil
import stat
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from serfeat.corpora import find_corpus
from serfeat.corpora.card import cache_folder
from serfeat.corpora.check import check_manifest
from serfeat.errors import CorpusError
from serfeat.files import sha256
from serfeat.manifest import Card, Download, Manifest
from serfeat.types import Progress

__all__ = ["fetch", "fetch_card", "unpack"]

TIMEOUT = 60.0  # s without a byte from the host
CHUNK = 1 << 18
MAX_MEMBERS = 500_000
MAX_RATIO = 200  # unpacked / packed; speech packs 1.5 to 3 times
DONE = ".complete"


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    accept_licence: bool,
    progress: Progress | None = None,
) -> Path:
    """Download and unpack a corpus, unless it is there already.

    Parameters
    ----------
    folder : where to put it; default: the cache folder, where `find_root` looks.
    accept_licence : that the user has seen and accepted the licence.
    progress : called with (bytes so far, bytes in all or 0).

    Returns
    -------
    The folder to read the corpus from.

    Raises
    ------
    UnknownNameError : no such corpus.
    CorpusError : the licence is not accepted (the message is the licence); no download exists (the
        message lists the steps); the disk is full; the host, the checksum or the content is wrong.
    """
    corpus = find_corpus(name)
    card = corpus.card
    if card is None:
        raise CorpusError("is a layout, not a corpus", where=name, code="no-download")
    target = cache_folder(name) if folder is None else Path(folder)

    def verify(root: Path) -> None:
        manifest = Manifest(corpus.read(root), root, name, card)
        check_manifest(manifest, card=card, decode="none").raise_errors(where=root)

    return fetch_card(card, target, accept_licence=accept_licence, progress=progress, verify=verify)


def fetch_card(
    card: Card,
    folder: Path,
    *,
    accept_licence: bool,
    progress: Progress | None = None,
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """`fetch` for any card; `verify` looks at what was unpacked and raises if it is wrong."""
    if not card.downloads:
        raise CorpusError(
            f"{card.title or card.name} cannot be downloaded by a program",
            code="no-download",
            fix=" ".join(card.steps.split()) or f"see {card.homepage}",
        )
    if (folder / DONE).is_file():
        return folder
    if not accept_licence:
        raise CorpusError(
            f"the licence of {card.title or card.name} is: {card.licence} {card.licence_url}. "
            f"Please cite: {card.citation}",
            code="licence",
            fix="to accept it and download: serfeat fetch --yes, or accept_licence=True",
        )
    folder.mkdir(parents=True, exist_ok=True)
    archives = folder / ".archives"
    archives.mkdir(exist_ok=True)
    for download in card.downloads:
        # the archive, and what comes out of it (speech packs to about half)
        _check_disk(folder, 3 * download.size)
        unpack(_retrieve(download, archives, progress), folder)
    if verify is not None:
        verify(folder)
    (folder / DONE).write_text("unpacked and counted\n", encoding="utf-8")
    shutil.rmtree(archives)
    return folder


def _check_disk(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise CorpusError(
            f"{wanted / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free",
            where=folder,
            code="disk-full",
            fix="free some space or give another folder",
        )


def _retrieve(download: Download, archives: Path, progress: Progress | None) -> Path:
    """Let pooch get one archive: it skips what is there already and checks the checksum."""
    import pooch

    name = PurePosixPath(urllib.parse.urlsplit(download.url).path).name or "archive"
    recorded = archives.parent / f"{name}.sha256"
    known = download.checksum
    if not known and recorded.is_file():
        known = f"sha256:{recorded.read_text(encoding='utf-8').split()[0]}"

    def downloader(url: str, output_file: str, _: Any) -> None:
        part = archives / f"{name}.part"
        _download(url, part, download.size, progress)
        _refuse_page(part, url)
        part.replace(output_file)

    pooch.get_logger().setLevel("ERROR")
    try:
        path = Path(pooch.retrieve(download.url, known or None, name, archives, None, downloader))
    except ValueError as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(
            f"the downloaded file has another checksum than the card ({known})",
            where=download.url,
            code="wrong-checksum",
            fix="try again; if it stays, the host has changed the file: report it",
        ) from error
    if not known:
        digest = sha256(path)
        recorded.write_text(f"{digest}  {name}\n", encoding="utf-8")
        warnings.warn(
            f"{download.url} has no published checksum; sha256 {digest} is recorded and will be "
            "expected from now on",
            stacklevel=4,
        )
    return path


def _download(url: str, part: Path, size: int, progress: Progress | None) -> None:
    """Append to `part` what is missing of `url`; a host that cannot resume sends it all again."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise CorpusError("not an http(s) address", where=url, code="bad-url")
    have = part.stat().st_size if part.exists() else 0
    if have and have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "serfeat"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = answer.status == 206
            have = have if resumed else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if resumed else "wb") as out:
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
                    have += len(chunk)
                    if progress is not None:
                        progress(have, max(total, size))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is longer than the file: not a part of it
            part.unlink(missing_ok=True)
        raise CorpusError(
            f"the host answers {error.code} {error.reason}",
            where=url,
            code="host",
            fix="try again later, or download by hand",
        ) from error
    except OSError as error:  # includes URLError, timeouts and broken connections
        raise CorpusError(
            f"the download stopped after {have} bytes: {error}",
            where=url,
            code="interrupted",
            fix="run it again, it resumes",
        ) from error
    wanted = max(total, size)
    if have < wanted:
        raise CorpusError(
            f"the download stopped after {have} of {wanted} bytes",
            where=url,
            code="interrupted",
            fix="run it again, it resumes",
        )


def _refuse_page(part: Path, url: str) -> None:
    """A web page (a login, an error) in place of an archive."""
    with part.open("rb") as raw:
        head = raw.read(256)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        part.unlink()
        raise CorpusError(
            f"the host sent a web page, not an archive: {head[:60].decode('utf-8', 'replace')!r}",
            where=url,
            code="web-page",
            fix="open the address in a browser to see why, and download by hand",
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip, inside `folder` only.

    Raises
    ------
    CorpusError : not a zip or a damaged one; a member that would leave the folder, or is a link;
        more members or more bytes than any corpus has; too little disk.
    """
    try:
        with zipfile.ZipFile(archive) as z:
            members = z.infolist()
            _check_members(members, archive)
            total = sum(m.file_size for m in members)
            _check_disk(folder, total)
            for member in members:
                z.extract(member, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise CorpusError(
            f"not a whole zip archive: {error}",
            where=archive,
            code="bad-archive",
            fix="delete it and fetch again",
        ) from error


def _check_members(members: list[zipfile.ZipInfo], archive: Path) -> None:
    packed = archive.stat().st_size
    if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_RATIO * packed:
        raise CorpusError(
            f"{len(members)} members of {sum(m.file_size for m in members)} bytes in a file of "
            f"{packed} bytes: more than any corpus",
            where=archive,
            code="bomb",
        )
    for member in members:
        # zipfile turns "\\" into "/" on Windows only; look at both spellings everywhere
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        outside = not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0]
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            raise CorpusError(
                f"the member {member.filename!r} is a link or would leave the folder",
                where=archive,
                code="outside-folder",
                fix="do not use this archive",
            )
