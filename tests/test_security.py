"""No code from data: loaders that could run some are banned, and malicious files run nothing.

The first half reads the package with `ast`; the second opens files that would leave a sentinel.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skops.io
import soundfile as sf

from serfeat.audio import load_audio
from serfeat.cli import main
from serfeat.corpora.fetch import unpack
from serfeat.errors import SerfeatError
from serfeat.feature_tables import given_set
from serfeat.imports import read_manifest_of
from serfeat.manifest_csv import read_manifest
from serfeat.models import fit, make_model
from serfeat.models.storage import load_model, save_model
from serfeat.recipe import read_recipe

from .parsing import parsed

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(p for p in (ROOT / "serfeat").rglob("*.py") if "_shipped" not in p.parts)

# --- the lint rule --------------------------------------------------------------------------------

MODULES_THAT_RUN = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
NAMES_THAT_RUN = {"eval", "exec", "compile", "__import__"}
CALLS_THAT_RUN = {
    *("torch.load", "torch.save", "os.system", "os.popen", "np.fromregex", "pd.read_pickle"),
    *("pandas.read_pickle", "pickle.loads", "runpy.run_path"),
    *("torch.hub.load", "torch.jit.load", "pty.spawn"),
}
METHODS_THAT_RUN = {"to_pickle", "read_pickle"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def constant(call: ast.Call, word: str) -> object:
    return next(
        (
            k.value.value
            for k in call.keywords
            if k.arg == word and isinstance(k.value, ast.Constant)
        ),
        None,
    )


def faults_of(source: str) -> list[str]:
    """What in a module could run code out of data; one line each."""
    found = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES_THAT_RUN]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in MODULES_THAT_RUN else []
        elif isinstance(node, ast.Call):
            found += _of_call(node)
    return found


def _of_call(call: ast.Call) -> list[str]:
    name = dotted(call.func)
    last = name.rsplit(".", 1)[-1]
    found = []
    if name in NAMES_THAT_RUN | CALLS_THAT_RUN or last in METHODS_THAT_RUN:
        found.append(name)
    if constant(call, "shell") is True:
        found.append(f"{name}(shell=True)")
    if constant(call, "allow_pickle") is True:
        found.append(f"{name}(allow_pickle=True)")
    if constant(call, "trust_remote_code") is True:
        found.append(f"{name}(trust_remote_code=True)")
    if constant(call, "weights_only") is False:
        found.append(f"{name}(weights_only=False)")
    if last == "extractall" and constant(call, "filter") != "data":
        found.append(f"{name} without filter='data'")
    if name.startswith("subprocess.") and call.args:
        command = call.args[0]
        if isinstance(command, ast.JoinedStr) or (
            isinstance(command, ast.Constant) and isinstance(command.value, str)
        ):
            found.append(f"{name} of a string")
    if name.startswith("yaml.") and last not in {"safe_load", "parse"} and last[0].islower():
        found.append(name)
    if any(k.arg == "Loader" and dotted(k.value) != "yaml.SafeLoader" for k in call.keywords):
        found.append(f"{name} with another loader than SafeLoader")
    if last == "load" and name.startswith("skops.") and constant(call, "trusted") is True:
        found.append(f"{name}(trusted=True)")
    if name in {"Environment", "jinja2.Environment"} and constant(call, "autoescape") is not True:
        found.append(f"{name} without autoescape=True")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_that_runs_code(path: Path) -> None:
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "yaml.load(x)",
        "yaml.full_load(x)",
        "yaml.load(x, Loader=yaml.SafeLoader)",
        "yaml.parse(x, Loader=yaml.Loader)",
        "import dill as d",
        "eval(x)",
        "exec(x)",
        "__import__(x)",
        "os.system(x)",
        "os.popen(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "pd.read_pickle(x)",
        "frame.to_pickle(x)",
        "archive.extractall(x)",
        "archive.extractall(x, filter='fully_trusted')",
        "subprocess.run('ls ' 'x')",
        "subprocess.run(f'ls {x}')",
        "subprocess.run(['ls'], shell=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "Environment(loader=x)",
        "skops.io.load(x, trusted=True)",
    ],
)
def test_the_rule_bites(line: str) -> None:
    assert faults_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "re.compile(x)",
        "module.eval()",
        "np.load(x)",
        "yaml.safe_load(x)",
        "yaml.parse(x, Loader=yaml.SafeLoader)",
        "subprocess.run(['ls', x])",
        "archive.extractall(x, filter='data')",
        "Environment(loader=x, autoescape=True)",
    ],
)
def test_the_rule_lets_the_harmless_be(line: str) -> None:
    assert faults_of(line) == []


def test_downloads_are_in_one_module() -> None:
    """Only the fetching of corpora and encoders opens a connection; the lab's server binds one."""
    allowed = {"corpora/fetch.py", "encoders/files.py", "encoders/network.py", "lab/server.py"}
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(parsed(text)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                if name.split(".")[0] in {"socket", "requests", "httpx", "huggingface_hub"} or (
                    name in {"urllib.request", "http.client"}
                ):
                    assert str(path.relative_to(ROOT / "serfeat")) in allowed, (path, name)


# --- malicious files ------------------------------------------------------------------------------


class Bomb:
    """Unpickling it would create a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return (Path.touch, (self.sentinel,))


def forged(folder: Path, name: str, content: bytes, **changes: object) -> Path:
    """A stored model, one step of which is other bytes under a correct checksum."""
    y = np.array(["anger", "neutral"] * 6)
    X = np.random.default_rng(0).standard_normal((12, 3))
    save_model(fit(make_model("svm"), X, y, np.array(["a", "b"] * 6)), folder, {})
    card = json.loads((folder / "card.json").read_text())
    card.pop("sha256")
    (folder / name).write_bytes(content)
    card["files"][name] = hashlib.sha256(content).hexdigest()
    card["steps"][-1] |= {"file": name, "card": {}, **changes}
    card["sha256"] = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def skops_that_calls(sentinel: Path) -> bytes:
    """A skops archive whose schema asks for ``os.system``."""
    schema = {
        "__class__": "system",
        "__module__": "posix",
        "__loader__": "FunctionNode",
        "__id__": 1,
        "protocol": 2,
        "_skops_version": "0.13",
        "content": {"module_path": "posix", "function": "system", "args": f"touch {sentinel}"},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return out.getvalue()


def object_array(sentinel: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Bomb(sentinel)], dtype=object), allow_pickle=True)
    return out.getvalue()


def object_archive(sentinel: Path) -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.array([Bomb(sentinel)], dtype=object))
    return out.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


Attack = Callable[[Path, Path], object]  # (folder, sentinel)

ATTACKS: dict[str, Attack] = {
    "pickle as skops": lambda f, s: load_model(
        forged(f / "m", "classify.skops", pickle.dumps(Bomb(s)))
    ),
    "skops that calls": lambda f, s: load_model(
        forged(f / "m", "classify.skops", skops_that_calls(s))
    ),
    "skops of a stranger": lambda f, s: load_model(
        forged(f / "m", "classify.skops", skops.io.dumps(Path.touch))
    ),
    "pickle as safetensors": lambda f, s: load_model(
        forged(f / "m", "x.safetensors", pickle.dumps(Bomb(s)), kind="torch")
    ),
    "pickle as trees": lambda f, s: load_model(
        forged(f / "m", "x.ubj", pickle.dumps(Bomb(s)), kind="xgboost", card={"params": {}})
    ),
    "object array as a step": lambda f, s: load_model(
        forged(f / "m", "classify.skops", object_archive(s))
    ),
    "kind of step that imports": lambda f, s: load_model(
        forged(f / "m", "classify.skops", b"os.system", kind="os.system")
    ),
    "pickle as manifest": lambda f, s: read_manifest(written(f / "m.csv", pickle.dumps(Bomb(s)))),
    "pickle as recipe": lambda f, s: read_recipe(written(f / "r.toml", pickle.dumps(Bomb(s)))),
    "yaml tag as recipe": lambda f, s: read_recipe(
        written(f / "r.toml", f"a: !!python/object/apply:os.system ['touch {s}']\n".encode())
    ),
    "yaml tag as audformat": lambda f, s: read_manifest_of(
        written(f / "db.yaml", f"a: !!python/object/apply:os.system ['touch {s}']\n".encode())
    ),
    "pickle as table": lambda f, s: given_set(
        "table:t.parquet", written(f / "t.parquet", pickle.dumps(Bomb(s))).parent
    ),
    "pickle by its name": lambda f, s: given_set(
        "table:t.pkl", written(f / "t.pkl", pickle.dumps(Bomb(s))).parent
    ),
    "object array as table": lambda f, s: given_set(
        "table:t.csv", written(f / "t.csv", object_array(s)).parent
    ),
    "pickle as recording": lambda f, s: load_audio(written(f / "a.wav", pickle.dumps(Bomb(s)))),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_malicious_files_run_nothing(tmp_path: Path, name: str) -> None:
    """Refused in one line of our own; the sentinel is not there."""
    sentinel = tmp_path / "ran"
    with pytest.raises(SerfeatError) as caught:
        ATTACKS[name](tmp_path, sentinel)
    assert "\n" not in str(caught.value)
    assert not sentinel.exists()


def test_the_bomb_goes_off_where_it_is_let(tmp_path: Path) -> None:
    """The sentinel can be made: the tests above can fail."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()
    with np.load(io.BytesIO(object_archive(tmp_path / "again")), allow_pickle=True) as archive:
        archive["x"]
    assert (tmp_path / "again").exists()


def test_a_pickled_encoder_is_not_read(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from serfeat.encoders.network import load_encoder

    folder = tmp_path / "e"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "wav2vec2"}')
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(SerfeatError):
        load_encoder(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["train.npy", "offsets.npy"])
def test_stored_features_of_a_run_hold_no_objects(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(object_array(tmp_path / "ran"))
    with pytest.raises(ValueError, match=r"allow_pickle|Array can't be memory-mapped"):
        np.load(tmp_path / name, mmap_mode="r")
    assert not (tmp_path / "ran").exists()


# --- archives and names ---------------------------------------------------------------------------


def test_archives_stay_below_their_folder(tmp_path: Path) -> None:
    """Way out, link, ratio, a tar in place of a zip; corpora/test_corpus_fetch goes into detail."""
    target = tmp_path / "in"
    target.mkdir()
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for member, content in [("../evil", b"x"), (link, b"/etc"), ("bomb", bytes(10_000_000))]:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content)
        with pytest.raises(SerfeatError):
            unpack(tmp_path / "a.zip", target)
        assert not list(target.iterdir())
    with tarfile.open(tmp_path / "a.zip", "w") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    with pytest.raises(SerfeatError):
        unpack(tmp_path / "a.zip", target)
    assert not (tmp_path / "evil").exists()


HOSTILE = (
    "new\nline.wav",
    "\x1b]0;title\x07\x1b[2J.wav",
    "=HYPERLINK(1).wav",
    "<img src=x onerror=alert(1)>.wav",
    "\u202egpj.wav",
)


def test_hostile_names_are_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the terminal: no escape code, a line each. In a CSV: one cell each, read back equal."""
    import csv

    folder = tmp_path / "in"
    folder.mkdir()
    for name in HOSTILE:
        sf.write(folder / name, 0.1 * np.sin(np.arange(8_000) / 20), 16_000)
        (folder / f"bad{name}").write_bytes(b"")
    main(["extract", str(folder), "-o", str(tmp_path / "t.csv"), "--features", "zcr"])
    said = capsys.readouterr()
    shown = said.out + said.err
    assert not any(c in shown for c in "\x1b\x07\u202e")
    assert len([x for x in said.err.splitlines() if "empty-file" in x]) == len(HOSTILE)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert {row[0] for row in rows[1:]} == set(HOSTILE)
    assert len({len(row) for row in rows}) == 1


def test_security_policy_is_there() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for word in ("in private", "Supported versions", "No code from data", "SERFEAT_FOLLOW_LINKS"):
        assert word in text
    assert os.sep + "work" not in text
