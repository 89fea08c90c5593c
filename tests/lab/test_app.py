"""The lab's server: who may ask, what is taken, what is answered, what is left behind."""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from serfeat.errors import AudioError, SerfeatError

LIMIT = 1_000_000


# --- who may ask ----------------------------------------------------------------------------------


def test_nothing_is_answered_without_the_token(client: Any) -> None:
    """Seen to fail without the comparison in `Guard._refusal`."""
    for path in ("/api/about", "/api/sound/about", "/api/sound/list", "/api/nothing"):
        for given in ("", "wrong", "a-token-of-the-test"):
            answer = client.get(path, headers={"X-Serfeat-Token": given})
            assert answer.status_code == 403, (path, given)
            assert "token" in answer.json()["error"]
    assert client.get("/api/about").status_code == 200


def test_the_page_wants_the_token_and_a_reload_does_not(client: Any, token: str) -> None:
    client.cookies.clear()
    assert client.get("/").status_code == 403
    assert client.get("/", params={"token": "wrong"}).status_code == 403
    first = client.get("/", params={"token": token})
    assert first.status_code == 200
    assert "httponly" in first.headers["set-cookie"].lower()
    assert token not in first.headers["set-cookie"]
    assert token not in first.text
    assert client.get("/").status_code == 200
    # the cookie opens the page and nothing else
    assert client.get("/api/about", headers={"X-Serfeat-Token": ""}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1@evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("127.0.0.1:8000/x", 421),
        ("127.0.0.1:x", 421),
        ("", 421),
    ],
)
def test_only_names_of_this_computer(client: Any, host: str, status: int) -> None:
    """DNS rebinding: a foreign name that points here. Seen to fail without the list of hosts."""
    assert client.get("/api/about", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://127.0.0.1:8001", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:8000.evil.example", 403),
    ],
)
def test_pages_from_elsewhere_are_refused(client: Any, origin: str, status: int) -> None:
    """Seen to fail without the comparison of the origin."""
    assert client.get("/api/about", headers={"Origin": origin}).status_code == status
    assert client.post("/api/sound/upload", headers={"Origin": origin}).status_code == (
        400 if status == 200 else 403
    )


def test_a_socket_wants_origin_and_token() -> None:
    """Seen to fail with `greet` returning True for any message."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.testclient import TestClient
    from starlette.websockets import WebSocket, WebSocketDisconnect

    from serfeat.lab.guards import Guard, greet

    async def echo(socket: WebSocket) -> None:
        if await greet(socket, "right"):
            await socket.send_text("hello")

    app = Guard(Starlette(routes=[WebSocketRoute("/api/live", echo)]), token="right")
    client = TestClient(app, base_url="http://127.0.0.1")
    here = {"Origin": "http://127.0.0.1", "Host": "127.0.0.1"}

    def said(headers: dict[str, str], first: str) -> str:
        with client.websocket_connect("/api/live", headers=headers) as socket:
            socket.send_text(first)
            return str(socket.receive_text())

    assert said(here, '{"token": "right"}') == "hello"
    for first in ('{"token": "wrong"}', "{}", "[]", "no json", '{"token": 1}'):
        with pytest.raises(WebSocketDisconnect):
            said(here, first)
    for origin in ({"Origin": "http://evil.example"}, {}):
        with pytest.raises(WebSocketDisconnect):
            said({"Host": "127.0.0.1", **origin}, '{"token": "right"}')


def test_headers_of_every_answer(client: Any) -> None:
    for path in ("/", "/page/lab.js", "/api/about", "/api/sound/none/wav", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_no_name_becomes_a_path(client: Any) -> None:
    names = ("..%2fapp.py", "%2e%2e/app.py", "....//app.py", "index.html", "%00", "lab.js%00.css")
    for name in names:
        assert client.get(f"/page/{name}").status_code in (403, 404), name
    for name in ("..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "none"):
        assert client.get(f"/api/sound/{name}").status_code == 404


def test_the_page_is_light_and_asks_nobody_else(client: Any) -> None:
    import serfeat.lab.app as module

    files = [p for p in module.PAGE.iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 500_000
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
        assert "innerHTML" not in text, path.name
        assert "eval(" not in text, path.name
    html = (module.PAGE / "index.html").read_text()
    assert "<style" not in html
    assert "style=" not in html
    assert "onclick" not in html


def test_beyond_this_computer_only_in_so_many_words() -> None:
    """Seen to fail with `_loopback` taking every name for this computer's."""
    from serfeat.lab.server import bind

    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(SerfeatError, match="--i-understand"):
            bind(host)
    with bind("127.0.0.1") as opened, pytest.raises(SerfeatError, match="another --port"):
        bind("127.0.0.1", opened.getsockname()[1])


# --- uploads --------------------------------------------------------------------------------------


def _upload(client: Any, content: Any, name: str = "a.wav") -> Any:
    return client.post("/api/sound/upload", content=content, headers={"X-Serfeat-Name": name})


def _files(lab: Any) -> list[Path]:
    return sorted(lab.folder.iterdir())


def test_a_good_file(client: Any, lab: Any, voice: bytes) -> None:
    made = _upload(client, voice, "my%20voice.wav").json()
    assert made["name"] == "my voice.wav"
    assert made["uploaded"]
    assert made["duration"] == 1.0
    assert made["original_sr"] == 16_000
    again = _upload(client, voice, "my%20voice.wav").json()
    assert again["id"] != made["id"]  # the same name twice is two recordings
    assert (lab.folder / f"{made['id']}.upload").stat().st_mode & 0o077 == 0
    back = client.get(f"/api/sound/{made['id']}/wav")
    assert back.headers["content-type"] == "audio/wav"
    assert back.content[44:] == voice[44:]


def test_what_is_no_recording_leaves_nothing_behind(client: Any, lab: Any, voice: bytes) -> None:
    """Seen to fail without `lab.forget` in `_upload`, and with the file kept in `receive`."""
    before = _files(lab)
    cases = {
        b"": (400, "empty"),
        b"hello, I am a text" * 10: (422, "not"),
        b"<html><script>alert(1)</script></html>": (422, ""),
        b"MZ" + bytes(500): (422, ""),
        voice[:60]: (422, ""),
        voice[:44]: (422, ""),
        b"\0" * 5000: (422, ""),
    }
    for content, (status, word) in cases.items():
        answer = _upload(client, content)
        assert answer.status_code == status, (content[:10], answer.text)
        line = answer.json()["error"]
        assert word in line, line
        assert "\n" not in line, line
        assert str(lab.folder) not in line, line
    assert _files(lab) == before


def test_too_large_is_cut_where_it_becomes_too_large(client: Any, lab: Any) -> None:
    """Without an announced length the file is cut while it streams: the rest is never read.

    Seen to fail without the check in `_store`.
    """
    before, sent = _files(lab), 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(300):
            sent += 100_000
            yield bytes(100_000)

    answer = _upload(client, bytes(LIMIT + 1))
    assert answer.status_code == 413
    assert "1 MB" in answer.json()["error"]
    assert _upload(client, endless()).status_code == 413
    assert _files(lab) == before


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("..%2f..%2fetc%2fpasswd", "passwd"),
        ("%2Fetc%2Fpasswd", "passwd"),
        ("C%3A%5CUsers%5Cx.wav", "x.wav"),
        ("%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.wav", "<img src=x onerror=alert(1)>.wav"),
        ("a%0D%0ASet-Cookie%3A%20x", "a\\r\\nSet-Cookie: x"),
        ("a%E2%80%AEvaw.exe", "a\\u202evaw.exe"),
        ("%F0%9F%98%80.wav", "\U0001f600.wav"),
        ("a%00b", "a\\x00b"),
        ("%FF%FE", "\ufffd\ufffd"),
        ("", "upload"),
        ("%20", "upload"),
        ("x" * 500, "x" * 60 + "…" + "x" * 60),
    ],
)
def test_names_are_text(client: Any, lab: Any, voice: bytes, header: str, shown: str) -> None:
    made = _upload(client, voice, header).json()
    assert made["name"] == shown
    assert {p.suffix for p in _files(lab)} <= {".upload", ".npy"}


def test_m4a_is_taken(client: Any, buzz: Any, tmp_path: Path) -> None:
    """What telephones record; the name of an upload says nothing, its content has to.

    AAC is lossy: the level in the middle of a voice has to be that of what was encoded, to 1 dB.
    """
    av = pytest.importorskip("av", reason="the extra m4a is not installed")
    x = buzz(1.0).astype(np.float32)
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(x[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    made = _upload(client, path.read_bytes(), "voice.m4a")
    assert made.status_code == 200, made.text
    known = made.json()
    assert known["duration"] == pytest.approx(1.0, abs=0.15)  # AAC pads by frames of 64 ms
    assert known["name"] == "voice.m4a"
    wav = client.get(f"/api/sound/{known['id']}/wav").content
    heard, sr = soundfile.read(io.BytesIO(wav))
    middle = heard[round(0.4 * sr) : round(0.7 * sr)]
    ratio = np.std(middle) / np.std(x[round(0.4 * sr) : round(0.7 * sr)])
    assert abs(20 * np.log10(ratio)) < 1


def test_uploads_go_after_an_hour(client: Any, lab: Any, voice: bytes) -> None:
    """Seen to fail with LIFE of a day."""
    from serfeat.lab.uploads import delete_old

    old, new = (_upload(client, voice).json()["id"] for _ in range(2))
    path = lab.sounds.get(old).path
    past = time.time() - 3601
    os.utime(path, (past, past))
    assert delete_old(lab) == 1
    assert not path.exists()
    assert not (lab.folder / f"{old}.npy").exists()
    gone = client.get(f"/api/sound/{old}")
    assert gone.status_code == 404
    assert "upload it again" in gone.json()["error"]
    assert client.get(f"/api/sound/{new}").status_code == 200


def test_the_oldest_goes_when_there_are_too_many(
    client: Any, lab: Any, voice: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serfeat.lab.uploads.MOST", 2)
    made = [_upload(client, voice).json()["id"] for _ in range(3)]
    assert [s.id for s in lab.sounds.uploaded()] == made[1:]
    assert not (lab.folder / f"{made[0]}.upload").exists()


def test_everything_goes_with_the_server(voice: bytes, token: str) -> None:
    from starlette.testclient import TestClient

    from serfeat.lab.app import make_app
    from serfeat.lab.state import Lab, Options

    lab = Lab(Options(token=token, workers=1))
    with TestClient(
        make_app(lab), base_url="http://127.0.0.1", headers={"X-Serfeat-Token": token}
    ) as client:
        assert _upload(client, voice).status_code == 200
        assert len(_files(lab)) == 2
        assert lab.folder.stat().st_mode & 0o077 == 0
    assert not lab.folder.exists()


def test_what_a_killed_server_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    from serfeat.lab import uploads

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"serfeat-lab-{dead.pid}-x", f"serfeat-lab-{os.getpid()}-y", "serfeat-lab-z"):
        (tmp_path / name).mkdir()
    assert uploads.sweep_dead() == 1
    assert not (tmp_path / f"serfeat-lab-{dead.pid}-x").exists()
    assert len(list(tmp_path.iterdir())) == 2


# --- workers --------------------------------------------------------------------------------------


def _crash() -> None:
    os.abort()


def _hang() -> None:
    time.sleep(60)


def _refuse() -> None:
    raise AudioError("no", where="here", code="x", fix="y")


def _fine() -> int:
    return 7


def test_a_worker_costs_its_own_request(client: Any, lab: Any) -> None:
    """A crash and a hang are told; the next request finds a worker again.

    Seen to fail with `ProcessExpired` left out of what `work` catches.
    """
    from serfeat.lab.answers import LabError

    def run(function: Any, budget: float = 20.0) -> Any:
        async def there() -> Any:
            return await lab.work(function, budget=budget)

        return client.portal.call(there)

    with pytest.raises(LabError, match="SIGABRT") as crash:
        run(_crash)
    assert crash.value.status == 500
    assert run(_fine) == 7
    with pytest.raises(LabError, match="time budget"):
        run(_hang, 0.5)
    with pytest.raises(AudioError, match="here: no; y"):
        run(_refuse)
    assert run(_fine) == 7
    assert lab.workers.open == 0


def test_when_too_many_wait(client: Any, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.workers, "open", 12)
    answer = client.get("/api/sound/list", params={"corpus": "none"})
    assert answer.status_code == 422  # what needs no worker is answered
    assert _upload(client, b"RIFF").status_code == 429
    assert _upload(client, b"RIFF").headers["retry-after"] == "1"


def test_a_bug_is_one_line(lab: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    from serfeat.lab.app import make_app

    def broken(_: str) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(lab.sounds, "get", broken)
    client = TestClient(
        make_app(lab),
        base_url="http://127.0.0.1",
        headers={"X-Serfeat-Token": token},
        raise_server_exceptions=False,
    )
    answer = client.get("/api/sound/x")
    assert answer.status_code == 500
    assert answer.json()["error"] == "unexpected ZeroDivisionError; this is a bug, please report it"


# --- answers --------------------------------------------------------------------------------------


def test_json_of_everything() -> None:
    from serfeat.lab.answers import answer

    value = {
        "nan": math.nan, "inf": np.float32(np.inf), "int": np.int64(3), "bool": np.bool_(True),
        "array": np.array([[1.0, np.nan]]), "none": pd.NA, "nat": pd.NaT,
        "time": pd.Timedelta(seconds=1.5), "frame": pd.DataFrame({"a": [1], "b": ["x"]}),
        "path": Path("a"), 5: ("t",), "surrogate": "a\udcff", "series": pd.Series([np.nan, 2.0]),
    }  # fmt: skip
    assert json.loads(answer(value).body) == {
        "nan": None, "inf": None, "int": 3, "bool": True, "array": [[1.0, None]], "none": None,
        "nat": None, "time": 1.5, "frame": [{"a": 1, "b": "x"}], "path": "a", "5": ["t"],
        "surrogate": "a\udcff", "series": [None, 2.0],
    }  # fmt: skip
    with pytest.raises(TypeError, match="no form in JSON"):
        answer(object())


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """What the page does, in Python."""
    size = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + size])
    arrays = {}
    for name, entry in head["arrays"].items():
        at = 4 + size + entry["offset"]
        assert at % 8 == 0
        count = math.prod(entry["shape"])
        flat = np.frombuffer(body, entry["dtype"], count, at)
        arrays[name] = flat.reshape(entry["shape"])
    return head["about"], arrays


def test_blocks_come_back() -> None:
    """Seen to fail with the header not padded."""
    from serfeat.lab.answers import block

    given = {
        "a": np.arange(3, dtype=np.float32), "b": np.arange(6, dtype=">f8").reshape(2, 3),
        "c": np.array([True, False]), "d": np.arange(2), "e": np.empty((0, 2), dtype=np.int8),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }  # fmt: skip
    about, arrays = unpack(block(given, {"x": np.nan, "y": "ä"}).body)
    assert about == {"x": None, "y": "ä"}
    for name, array in given.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert arrays["c"].dtype == np.uint8
    assert arrays["d"].dtype == np.float64


# --- corpora --------------------------------------------------------------------------------------


def test_recordings_of_a_corpus(tiny: Path, token: str) -> None:
    from starlette.testclient import TestClient

    from serfeat.lab.app import make_app
    from serfeat.lab.state import Lab, Options
    from serfeat.manifest_csv import read_manifest

    manifest = read_manifest(tiny)
    lab = Lab(Options(corpora={"tiny": manifest}, token=token, workers=1))
    with TestClient(
        make_app(lab), base_url="http://127.0.0.1", headers={"X-Serfeat-Token": token}
    ) as client:
        about = client.get("/api/sound/about").json()["corpora"]["tiny"]
        assert about["rows"] == len(manifest) == sum(about["speaker"].values())
        wanted = {"corpus": "tiny", "emotion": "anger", "speaker": manifest.speakers[0]}
        found = client.get("/api/sound/list", params=wanted).json()
        assert found["total"] == 2
        assert {s["emotion"] for s in found["sounds"]} == {"anger"}
        one = client.get(f"/api/sound/{found['sounds'][0]['id']}").json()
        assert one["row"]["emotion"] == "anger"
        assert one["duration"] > 0.3
        assert str(manifest.root) not in json.dumps(one)
        # another server knows it by the same id
        other = Lab(Options(corpora={"x": manifest}, token="y"))
        assert other.sounds.get(one["id"]).name == found["sounds"][0]["name"]
        other.close()
        answer = client.get("/api/sound/list", params={"corpus": "tinny"})
        assert answer.status_code == 422
        assert "did you mean 'tiny'" in answer.json()["error"]


def test_a_folder_keeps_its_labels_and_other_folders_are_told(tmp_path: Path, voice: bytes) -> None:
    from serfeat.errors import ManifestError
    from serfeat.lab.state import Lab, Options

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(voice)
    rows = "file,speaker,emotion\na.wav,s1,anger\n"
    (tmp_path / "clips" / "manifest.csv").write_text(rows)
    lab = Lab(Options(folders=(tmp_path / "clips",)))
    (manifest,) = lab.sounds.manifests.values()
    assert list(manifest.rows[["speaker", "emotion"]].iloc[0]) == ["s1", "anger"]
    lab.close()
    for file, option in (("run.json", "--runs"), ("card.json", "--model")):
        (tmp_path / option).mkdir()
        (tmp_path / option / file).write_text("{}")
        with pytest.raises(ManifestError, match=f"serfeat lab {option}") as caught:
            Lab(Options(folders=(tmp_path / option,)))
        assert "\n" not in str(caught.value)


def test_a_view_is_imported_when_it_is_asked(token: str) -> None:
    """The first page must not wait for scikit-learn."""
    import subprocess
    import sys

    code = (
        "import sys; from serfeat.lab.app import make_app; "
        "from serfeat.lab.state import Lab, Options; made = make_app(Lab(Options(workers=1))); "
        "print(*({'sklearn', 'numba', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
