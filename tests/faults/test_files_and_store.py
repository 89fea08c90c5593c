"""The catalogue of faults, 46 to 68: names, folders, disks, and what is on them after a kill."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import serfeat
from serfeat import files
from serfeat.audio import load_audio
from serfeat.cli import main
from serfeat.errors import AudioError, ManifestError, SerfeatError
from serfeat.extract import Extraction, as_manifest, extract
from serfeat.files import committed
from serfeat.manifest import FOLLOW, manifest_of_folder
from serfeat.manifest_csv import read_manifest
from serfeat.table import clip_index

from ..parsing import parsed
from .bad_audio import tone, wav

PACKAGE = Path(serfeat.__file__).parent


def run(folder: Path, **options: object) -> Extraction:
    """Extract a folder; rows + failures = inputs."""
    result = extract(folder, "prosody", store=folder.parent / "store", **options)
    assert len(result.index) + len(result.failures) == len(manifest_of_folder(folder))
    return result


def names(result: Extraction) -> list[str]:
    return list(result.index.get_level_values("file"))


def code(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert "\n" not in str(caught.value)
    return caught.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good recording."""
    (tmp_path / "in").mkdir()
    wav(tmp_path / "in" / "good.wav")
    return tmp_path / "in"


HOSTILE = [
    "a b.wav",
    'qu"ote.wav',
    "com,ma.wav",
    "semi;colon.wav",
    "new\nline.wav",
    "tab\t.wav",
    "=HYPERLINK(1).wav",
    "@SUM.wav",
    "+1.wav",
    "-1.wav",
    "<img src=x onerror=alert(1)>.wav",
    "\x1b[2J.wav",
    "\u202egpj.wav",
]


def not_utf8(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/bad\xff\xfe.wav", "wb") as stream:
        stream.write((folder / "good.wav").read_bytes())


def test_046_name_that_is_not_utf8(folder: Path) -> None:
    """Opened by its bytes, shown escaped."""
    not_utf8(folder)
    assert len(run(folder).index) == 2
    (folder / "good.wav").write_bytes(b"")
    with pytest.raises(AudioError, match="empty"):
        load_audio(folder / "good.wav")
    assert str(AudioError("x", where="bad\udcff.wav")) == "bad\\udcff.wav: x"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_046_a_table_of_it(folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Escaped where it is written, and again what it was where it is read."""
    from serfeat.store import read_table

    odd = Path(os.fsdecode(os.fsencode(folder.parent) + b"/in\xff"))
    folder.rename(odd)
    not_utf8(odd)
    (odd / "empty\udcfe.wav").touch()
    table = odd.parent / f"t.{suffix}"
    assert main(["extract", str(odd), "-o", str(table), "--features", "zcr"]) == 2  # the empty one
    said = capsys.readouterr()
    assert "empty\\udcfe.wav" in said.err
    files = list(read_table(table).index.get_level_values("file"))
    assert files == ["bad\udcff\udcfe.wav", "good.wav"]
    assert "empty\\udcfe.wav" in (odd.parent / "t.failures.csv").read_text(encoding="utf-8")


def test_046_a_manifest_of_it(folder: Path) -> None:
    from serfeat.manifest_csv import write_manifest

    not_utf8(folder)
    write_manifest(manifest_of_folder(folder), folder / "m.csv")
    result = extract(folder / "m.csv", "zcr", store=folder.parent / "store")
    assert names(result) == ["bad\udcff\udcfe.wav", "good.wav"]


def test_047_names_round_trip_through_csv(folder: Path) -> None:
    """Spaces, quotes, commas, newlines: what `write_table` writes, `read_table` reads."""
    from serfeat.store import read_table, write_table

    for name in HOSTILE:
        shutil.copy(folder / "good.wav", folder / name)
    result = run(folder)
    assert sorted(names(result)) == sorted([*HOSTILE, "good.wav"])
    for suffix in ("csv", "parquet"):
        write_table(result.table, folder.parent / f"t.{suffix}")
        again = read_table(folder.parent / f"t.{suffix}")
        assert list(again.index.get_level_values("file")) == names(result)


def test_048_formula_names_in_the_export_for_spreadsheets(tmp_path: Path) -> None:
    """No cell begins with what a spreadsheet runs; the plain CSV is left as it is."""
    import csv

    from serfeat.exports import export_table

    names = ["=HYPERLINK(1).wav", "@SUM.wav", "+1.wav", "-1.wav", "a.wav"]
    table = pd.DataFrame({"x": np.arange(5.0)}, index=clip_index(names))
    export_table(table, tmp_path / "t.csv", format="csv-spreadsheet")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    assert [row[0].lstrip("'") for row in rows[1:]] == names
    assert not any(cell.startswith(("=", "@", "+", "-")) for row in rows for cell in row)


def test_049_html_names_are_text_on_the_page() -> None:
    """Every template escapes; tests/report/test_page opens a page with hostile names."""
    from serfeat.report import page

    source = Path(page.__file__).read_text(encoding="utf-8")
    assert "autoescape=True" in source


def test_050_escape_codes_never_reach_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("\x1b[2J.wav", "new\nline.wav", "\u202egpj.wav"):
        (folder / name).write_bytes(b"")
    main(["extract", str(folder), "-o", str(folder.parent / "t.csv"), "--features", "zcr"])
    said = capsys.readouterr()
    assert "\x1b[2J" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert len([x for x in said.err.splitlines() if x.startswith("failed (empty-file)")]) == 3


def test_051_name_of_255_bytes(folder: Path) -> None:
    """A temporary name is random, not the name with a suffix."""
    name = "a" * 251 + ".wav"
    shutil.copy(folder / "good.wav", folder / name)
    assert name in names(run(folder))
    with committed(folder / ("b" * 251 + ".csv")) as temporary:
        temporary.write_text("x")


def test_052_path_that_is_too_long(tmp_path: Path) -> None:
    assert code(tmp_path.joinpath(*["d" * 200] * 25, "a.wav")) == "bad-path"


@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9.wav", "cafe\u0301.wav"), ("A.wav", "a.wav")]
)
def test_053_names_that_collide_elsewhere(folder: Path, one: str, other: str) -> None:
    """Seen to fail without `refuse_collisions` in either place."""
    for name in (one, other):
        shutil.copy(folder / "good.wav", folder / name)
    with pytest.raises(ManifestError, match="are one name") as caught:
        manifest_of_folder(folder)
    assert caught.value.code == "colliding-names"
    (folder / "m.csv").write_text(f"file\n{one}\n{other}\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="are one name"):
        read_manifest(folder / "m.csv", require=())


def test_054_loops_of_links(folder: Path) -> None:
    """A folder that holds itself is named."""
    (folder / "up").symlink_to(folder)
    with pytest.raises(ManifestError, match="links back"):
        manifest_of_folder(folder)


def test_054_a_link_to_itself_costs_itself_only(folder: Path) -> None:
    (folder / "self.wav").symlink_to(folder / "self.wav")
    assert code(folder / "self.wav") == "bad-path"
    result = run(folder)
    assert names(result) == ["good.wav"]
    assert len(result.failures) == 1


def test_055_links_that_dangle_or_lead_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused each for itself; followed where the user says so.

    Seen to fail without `os.path.realpath`.
    """
    wav(folder.parent / "outside.wav", tone(0.7))
    (folder / "dangling.wav").symlink_to(folder / "nothing.wav")
    (folder / "out.wav").symlink_to(folder.parent / "outside.wav")
    (folder / "inner.wav").symlink_to(folder / "good.wav")
    result = run(folder)
    assert {f.file: f.reason for f in result.failures} == {
        "dangling.wav": "missing",
        "out.wav": "outside-root",
    }
    assert names(result) == ["good.wav", "inner.wav"]
    followed = extract(as_manifest(folder, follow=True), "prosody", store=folder.parent / "store")
    assert "out.wav" in names(followed)
    command = ["extract", str(folder), "-o", str(folder.parent / "t.csv"), "--features", "zcr"]
    assert main([*command, "--max-failures", "1"]) == 2
    assert main([*command, "--max-failures", "1", "--follow"]) == 0
    monkeypatch.setenv(FOLLOW, "1")
    assert "out.wav" in names(run(folder))


def test_055_the_root_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert names(run(folder.parent / "link")) == ["good.wav"]


def test_056_what_is_no_file(folder: Path) -> None:
    """A pipe would be waited for, for ever."""
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket has at most 107 bytes
        server.bind("socket.wav")
        os.chdir(here)
        begin = time.perf_counter()
        for name in ("folder.wav", "pipe.wav", "zero.wav", "socket.wav"):
            assert code(folder / name) == "not-a-file"
        result = run(folder)
    assert time.perf_counter() - begin < 10
    assert names(result) == ["good.wav"]
    assert {f.reason for f in result.failures} <= {"not-a-file", "outside-root"}


def test_057_no_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret.wav").write_bytes((folder / "good.wav").read_bytes())
    (folder / "secret.wav").chmod(0)
    real = os.open

    def refusing(path: object, *arguments: object, **options: object) -> int:
        if str(path).endswith("secret.wav"):  # root may read it all the same
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    result = run(folder)
    assert [(f.file, f.reason) for f in result.failures] == [("secret.wav", "permission")]
    assert names(result) == ["good.wav"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else"
)
def test_057_no_permission_of_the_system(folder: Path) -> None:
    """A child that is nobody reads the one file and is refused the other by the system itself."""
    open_to_all = Path(tempfile.mkdtemp())
    open_to_all.chmod(0o755)
    try:
        for name, mode in (("good.wav", 0o644), ("secret.wav", 0o600)):
            shutil.copy(folder / "good.wav", open_to_all / name)
            (open_to_all / name).chmod(mode)
        load_audio(open_to_all / "good.wav")  # what it imports may be out of nobody's reach
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                os.setgid(65534)
                os.setuid(65534)
                load_audio(open_to_all / "good.wav")
                status = 0 if code(open_to_all / "secret.wav") == "permission" else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        shutil.rmtree(open_to_all)


def test_058_changes_and_vanishes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail without `_check_unchanged`."""
    import soundfile as sf

    path = folder / "good.wav"
    real = sf.SoundFile.read

    def grows(sound: object, *arguments: object, **options: object) -> np.ndarray:
        with path.open("ab") as stream:
            stream.write(b"more")
        return real(sound, *arguments, **options)

    def vanishes(sound: object, *arguments: object, **options: object) -> np.ndarray:
        path.unlink(missing_ok=True)
        return real(sound, *arguments, **options)

    for change in (grows, vanishes):
        monkeypatch.setattr(sf.SoundFile, "read", change)
        assert code(path) == "changed"
    assert code(path) == "missing"


def test_059_output_is_looked_at_first(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any audio is read. Seen to fail without `probe`."""

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("worked before it looked")

    monkeypatch.setattr("serfeat.extract.extract", never)
    (folder.parent / "file").touch()
    status = main(["extract", str(folder), "-o", str(folder.parent / "file" / "t.csv")])
    said = capsys.readouterr().err
    assert "cannot write here" in said
    assert "Traceback" not in said
    assert status == 73


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE])
def test_060_full_disk_and_061_other_troubles(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """One line, no traceback, no half table; the same command goes on. (Exhaustive: test_kills.)"""
    table = folder.parent / "t.csv"
    arguments = ["extract", str(folder), "-o", str(table), "--features", "prosody"]
    monkeypatch.setenv("SERFEAT_CACHE", str(folder.parent / "cache"))

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(arguments) == 74
    said = capsys.readouterr().err
    assert ("GB are free" in said) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert "Traceback" not in said
    assert os.strerror(number) in said
    assert not table.exists()
    assert not list(folder.parent.rglob("*.tmp"))
    assert main(arguments) == 0
    assert len(pd.read_csv(table)) == 1


def test_062_no_correctness_on_locks() -> None:
    """`flock` succeeds for everybody on some network disks: serfeat never calls it."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "fcntl" not in text and "msvcrt" not in text and "filelock" not in text:
            continue
        for node in ast.walk(parsed(text)):
            if isinstance(node, ast.Import):
                assert not {a.name for a in node.names} & {"fcntl", "msvcrt", "filelock"}, path


def test_063_times_of_files_do_not_matter(folder: Path) -> None:
    assert run(folder).computed == 1
    for moment in (0, 4_070_908_800):  # 1970 and 2099
        os.utime(folder / "good.wav", (moment, moment))
        assert run(folder).computed == 0
    wav(folder / "good.wav", tone(f=210))
    os.utime(folder / "good.wav", (0, 0))
    assert run(folder).computed == 1


CHILD = """
import sys
from serfeat.extract import extract
extract(sys.argv[1], "prosody", store=__import__("pathlib").Path(sys.argv[2]))
"""


def children(folder: Path, n: int) -> Iterator[subprocess.Popen[bytes]]:
    """What a dying one says stands in ``said0``, ``said1``, ... beside the store."""
    for i in range(n):
        with (folder.parent / f"said{i}").open("wb") as said:
            yield subprocess.Popen(
                [
                    *(sys.executable, "-X", "faulthandler", "-c", CHILD),
                    *(str(folder), str(folder.parent / "store")),
                ],
                stderr=said,
                env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            )


@pytest.fixture
def many(folder: Path) -> Path:
    """Twenty recordings."""
    for i in range(20):
        wav(folder / f"{i:02d}.wav", tone(0.3, 150 + 5 * i))
    (folder / "good.wav").unlink()
    return folder


def test_064_two_processes_on_one_store(many: Path) -> None:
    """Both end well, and what they left is what one alone makes."""
    ended = [p.wait(120) for p in list(children(many, 2))]
    assert ended == [0, 0], [(many.parent / f"said{i}").read_text() for i in range(2)]
    shared = run(many)
    assert shared.computed == 0
    alone = extract(many, "prosody", store=many.parent / "other")
    np.testing.assert_array_equal(shared.values, alone.values)


def test_065_killed_at_any_instant(many: Path) -> None:
    """Three kills (hundreds: test_kills). The next run ends with the values of a clean one."""
    for wait in (0.5, 1.5, 2.5):
        (process,) = children(many, 1)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    resumed = run(many)
    clean = extract(many, "prosody", store=many.parent / "clean")
    assert names(resumed) == names(clean)
    np.testing.assert_array_equal(resumed.values, clean.values)


def test_066_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of the file, then the rename, then fsync of the folder."""
    said: list[str] = []
    real = files.DISK

    def noted(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            said.append(name)
            return getattr(real, name)(*arguments)

        return call

    calls = {n: noted(n) for n in ("create", "flush", "rename", "flush_folder")}
    monkeypatch.setattr(files, "DISK", files.Disk(**calls))
    with committed(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert said == ["create", "flush", "rename", "flush_folder"]


def test_067_what_a_dead_process_left(many: Path) -> None:
    """Old temporary files of nobody do not stop a run, and are never taken for segments."""
    store = many.parent / "store"
    first = run(many)
    for place in [store, *[p for p in store.iterdir() if p.is_dir()]]:
        (place / ".serfeat-0123456789abcdef.tmp").write_bytes(b"half a segment")
        (place / "store.lock").write_text("999999 nowhere 0")
    again = run(many)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values, first.values)


def test_068_a_store_that_was_moved(many: Path) -> None:
    """Keys are of contents: another place of the audio and of the store computes nothing."""
    run(many)
    elsewhere = many.parent / "else where"
    elsewhere.mkdir()
    shutil.move(many, elsewhere / "in")
    shutil.move(many.parent / "store", elsewhere / "store")
    assert run(elsewhere / "in").computed == 0


def test_every_failure_says_what_to_do(folder: Path) -> None:
    """Reason, file, stage and message of each, in one line under 300 characters."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no audio " * 50)
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    for failure in run(folder).failures:
        assert failure.reason
        assert failure.stage == "read"
        assert "\n" not in failure.message
        assert len(failure.message) < 300
        assert "; " in failure.message  # what is wrong; what to do
    assert issubclass(AudioError, SerfeatError)
