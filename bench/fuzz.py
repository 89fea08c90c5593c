"""Mutated recordings, manifests, recipes and imports: no crash, no hang, no foreign error.

    python bench/fuzz.py --audio 5000 --texts 50000
    python bench/fuzz.py --seconds 600           no longer than this

Every batch runs in a process of its own with a time limit, so that a decoder that dies takes its
batch with it and not this program; the seed of a batch makes it again (``--again audio:17``). An
input is good if it is read, or refused with a `SerfeatError` of one line, and if nothing else comes
to the screen. Memory of a batch is limited to 4 GB of addresses.

Seeds: a tone in fifteen containers (and in five of telephones and browsers, where PyAV is
installed), manifests, the shipped recipes, seven foreign files; a text must be read as it is, or
all that lies behind the first complaint would be out of reach. A mutation flips bits, writes
extreme numbers into the first 64 bytes, cuts, doubles, removes or inserts stretches. Every other
text keeps its syntax: some of its values and words become others, of its own or such as hurt, and
lines are doubled, removed, exchanged.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BATCH = {"audio": 500, "texts": 2_000, "imports": 1_000}
LIMIT = 120.0  # s of a batch
SLOW = 5.0  # s of one input
ADDRESSES = 4 << 30  # bytes

CONTAINERS = [
    *(("WAV", s) for s in ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610")),
    *(("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
    *(("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_16")),
]
TELEPHONE = [  # suffix, FFmpeg's container and codec
    *((".m4a", "ipod", "aac"), (".m4a", "ipod", "alac"), (".aac", "adts", "aac")),
    *((".webm", "webm", "libopus"), (".wma", "asf", "wmav2")),
]
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MANIFEST = """file,start,end,speaker,gender,emotion,valence,language,votes_anger
a/b.wav,0,1.5,03,female,anger,1.25,de,3
"c, d.wav",1.5,,3,male,sadness,,de,0
"e""f.wav",0 days 00:00:01,0 days 00:00:02,NA,,neutral,-2,de,1
"""
WORDS = [
    *("", ",", ";", "\t", '"', '""', "\n", "\r", "\0", "\ufeff", "nan", "1e400", "-1", "1,5"),
    *("../x", "/etc/passwd", "~", "http://h/x", "C:\\x", "\u202e", "\x1b[2J", "[[", "]]", "{"),
    *("true", "1979-05-27", "inf", "0x7fffffff", "9" * 400, "[" * 200, "a.b.c = 1\n", "emotion"),
    *("=1+1", "'''"),
]


# What may stand in the place of a word, number or quoted text, so that the syntax often holds.
TOKEN = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|[^\s,;=\[\]{}:"\']+')
JSON = (
    *("null", "true", "0", "-1", "1.5", "1e400", "-0.0", "9999999999999999999999", '""', '"../x"'),
    *("[]", "{}", '[1, "a"]', '{"a": [1]}', '"\\u0000"', '"\\ud800"', '"anger"', '"/etc/passwd"'),
)
VALUES = {
    ".toml": (
        *('""', '"../x"', "-1", "0", "1", "0.5", "1e400", "nan", "inf", "true", "false", "[]"),
        *("{}", '[1, "a"]', "[[]]", "[{}]", "{ a = 1 }", "1979-05-27", "9223372036854775807"),
        *('"\\u0000"', '"\\u202e"', '"\'"', f'"{300 * "x"}"', '["emodb", "emodb"]', "07:32:00"),
    ),
    ".csv": (
        *("", "nan", "NA", "-1", "1.5", "1e400", "inf", "../x", "/etc/passwd", "=1+1", '"a,b"'),
        *('"a\nb"', '""""', "anger", "happy", "0 days", "-1 days", "\u202e", " ", "1,5", "female"),
    ),
    ".jsonl": JSON,
    ".arff": ("?", "'a b'", "''", "1e400", "nan", "-1", "{a,b}", "{}", "numeric", "string", "date"),
    ".yaml": (
        *(*JSON, ".nan", ".inf", "2001-01-01", "*a", "&a [*a]", "|", "!!python/object:os.system x"),
        *("filewise", "segmented", "str", "float", "time", "? a", "- a", "emotion"),
    ),
}

FOREIGN = {
    "t.arff": "@relation r\n@attribute name string\n@attribute f0 numeric\n"
    "@attribute class {anger,fear}\n@data\n'a.wav',1.5,anger\n'b c.wav',?,fear\n",
    "t.csv": "name;frameTime;f0;hnr\n'a.wav';0.0;1.5;2\n'a.wav';0.01;1e3;-2\n",
    "n.jsonl": '{"audio_filepath": "a.wav", "offset": 0, "duration": 1.5, "label": "anger"}\n'
    '{"audio_filepath": "b.wav", "duration": 2, "label": "fear"}\n',
    "e.jsonl": '{"key": "k", "wav": "a.wav", "emo": "anger", "length": 1.5, "speaker": "1"}\n',
    "n.csv": "file,speaker,gender,emotion\na.wav,1,female,anger\nb.wav,2,male,fear\n",
    "db.yaml": "name: d\nschemes:\n  emotion: {dtype: str, labels: [anger, fear]}\n"
    "tables:\n  files:\n    type: filewise\n    columns: {emotion: {scheme_id: emotion}}\n",
    "db.files.csv": "file,emotion\na.wav,anger\nb.wav,fear\n",
}
READ_WITH = {"db.files.csv": "db.yaml"}  # a part of another file, which is read


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """A few mutations of some bytes."""
    bad = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        if len(bad) < 4:
            return bytes(bad)
        at = int(rng.integers(len(bad)))
        end = min(len(bad), at + int(rng.integers(1, 200)))
        kind = int(rng.integers(6))
        if kind == 0:
            bad[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:  # a number of the header
            width = int(rng.choice([1, 2, 4]))
            value = int(rng.choice(EXTREMES)) & ((1 << 8 * width) - 1)
            place = int(rng.integers(min(64, len(bad) - 3)))
            bad[place : place + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))  # type: ignore[arg-type]
        elif kind == 2:
            del bad[at:]
        elif kind == 3:
            bad[at:at] = bad[at:end]
        elif kind == 4:
            del bad[at:end]
        else:
            bad[at:end] = rng.bytes(end - at)
    return bytes(bad)


def reworded(text: str, rng: np.random.Generator) -> bytes:
    """A text with some of its characters exchanged for words that hurt, sometimes its bytes."""
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(text) + 1))
        gone = int(rng.integers(0, 12))
        text = text[:at] + WORDS[int(rng.integers(len(WORDS)))] + text[at + gone :]
    raw = text.encode("utf-8", "surrogatepass")
    return mutated(raw, rng) if rng.random() < 0.3 else raw


def exchanged(text: str, values: Sequence[str], rng: np.random.Generator) -> bytes:
    """A text with words of its own or `values` in the place of others, or lines in disorder."""
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.2:
            lines = text.splitlines(keepends=True) or [""]
            a, b = (int(k) for k in rng.integers(len(lines), size=2))
            kind = int(rng.integers(3))
            if kind == 0:
                del lines[a]
            elif kind == 1:
                lines.insert(a, lines[b])
            else:
                lines[a], lines[b] = lines[b], lines[a]
            text = "".join(lines)
            continue
        words = list(TOKEN.finditer(text))
        if not words:
            break
        gone, other = (words[int(k)] for k in rng.integers(len(words), size=2))
        new = values[int(rng.integers(len(values)))] if rng.random() < 0.6 else other.group()
        text = text[: gone.start()] + new + text[gone.end() :]
    return text.encode("utf-8", "surrogatepass")


def changed(name: str, text: str, rng: np.random.Generator) -> bytes:
    """A mutated text: every other one keeps its syntax, mostly."""
    if rng.random() < 0.5:
        return exchanged(text, VALUES[Path(name).suffix], rng)
    return reworded(text, rng)


# --- one batch, in a child ------------------------------------------------------------------------


def audio_case(folder: Path) -> Callable[[np.random.Generator], None]:
    """Read a mutated recording."""
    import soundfile as sf

    from serfeat.audio import load_audio

    x = 0.5 * np.sin(np.arange(1_600) / 8)
    seeds = []
    for kind, subtype in CONTAINERS:
        stream = io.BytesIO()
        if (kind, subtype) == ("WAV", "GSM610"):
            place = folder / "gsm.wav"
            sf.write(place, x, 16_000, subtype=subtype)
            seeds.append((".wav", place.read_bytes()))
            continue
        sf.write(stream, np.stack([x, x], 1) if kind == "FLAC" else x, 16_000, subtype, None, kind)
        seeds.append((f".{kind.lower()}", stream.getvalue()))
    seeds += telephone_seeds()

    def case(rng: np.random.Generator) -> None:
        suffix, raw = seeds[int(rng.integers(len(seeds)))]
        path = folder / f"a{suffix}"
        path.write_bytes(mutated(raw, rng))
        audio = load_audio(path, max_duration=600.0)
        if not np.isfinite(audio.x).all() or np.abs(audio.x).max(initial=0.0) > 2.0:
            raise AssertionError("samples that are not finite, or far beyond 1")

    return case


def telephone_seeds() -> list[tuple[str, bytes]]:
    """Half a second of a tone as PyAV writes it: (suffix, bytes); none without it."""
    try:
        import av
    except ImportError:
        return []
    x = (0.5 * np.sin(np.arange(24_000) / 8)).astype(np.float32)[None]
    seeds = []
    for suffix, container, codec in TELEPHONE:
        stream = io.BytesIO()
        sound = av.AudioFrame.from_ndarray(x, format="fltp", layout="mono")
        sound.sample_rate = 48_000
        with av.open(stream, "w", format=container) as out:
            track: Any = out.add_stream(codec, rate=48_000)
            track.codec_context.layout = "mono"
            track.codec_context.bit_rate = 64_000
            size = track.codec_context.frame_size or 1024
            form = track.codec_context.format
            changed = av.AudioResampler(format=form, layout="mono", rate=48_000, frame_size=size)
            for frame in (*changed.resample(sound), *changed.resample(None)):
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
        seeds.append((suffix, stream.getvalue()))
    return seeds


def text_case(folder: Path) -> Callable[[np.random.Generator], None]:
    """Read a mutated manifest or recipe."""
    from serfeat.manifest_csv import read_manifest
    from serfeat.recipe import read_recipe

    readers: dict[str, Callable[[Path], Any]] = {"m.csv": read_manifest, "r.toml": read_recipe}
    shipped = sorted((Path(__file__).parents[1] / "pipelines").glob("*.toml"))
    # Two ask for the weights of an encoder.
    recipes = [p for p in shipped if "encoder:" not in p.read_text("utf-8")]
    texts = [("m.csv", MANIFEST), ("m.csv", MANIFEST.replace(",", ";"))] * (len(recipes) // 2)
    texts += [("r.toml", recipe.read_text("utf-8")) for recipe in recipes]
    for name, text in texts:
        (folder / name).write_text(text, encoding="utf-8")
        readers[name](folder / name)

    def case(rng: np.random.Generator) -> None:
        name, text = texts[int(rng.integers(len(texts)))]
        (folder / name).write_bytes(changed(name, text, rng))
        readers[name](folder / name)

    return case


def import_case(folder: Path) -> Callable[[np.random.Generator], None]:
    """Read another program's mutated table or manifest."""
    from serfeat.imports import read_manifest_of, read_table_of

    def read(name: str) -> None:
        reader: Callable[[Path], Any] = read_table_of if name[:2] == "t." else read_manifest_of
        reader(folder / READ_WITH.get(name, name))

    for name, text in FOREIGN.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in FOREIGN:
        read(name)

    def case(rng: np.random.Generator) -> None:
        name = list(FOREIGN)[int(rng.integers(len(FOREIGN)))]
        (folder / name).write_bytes(changed(name, FOREIGN[name], rng))
        try:
            read(name)
        finally:
            (folder / name).write_text(FOREIGN[name], encoding="utf-8")

    return case


CASES = {"audio": audio_case, "texts": text_case, "imports": import_case}


def batch(kind: str, seed: int, count: int) -> dict[str, Any]:
    """Run one batch here and count what became of its inputs."""
    import warnings

    from serfeat.errors import SerfeatError

    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    strange, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as place:
        case = CASES[kind](Path(place))
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            began = time.perf_counter()
            try:
                case(rng)
                outcomes["read"] += 1
            except SerfeatError as error:
                outcomes[error.code] += 1
                if "\n" in str(error) or not error.code:
                    strange.append(f"input {i}: {error!r}")
            except Exception as error:  # it is what is looked for
                strange.append(f"input {i}: {type(error).__name__}: {error}"[:300])
            took = time.perf_counter() - began
            slowest = max(slowest, took)
            if took > SLOW:
                strange.append(f"input {i}: {took:.1f} s")
    return {"outcomes": dict(outcomes), "strange": strange, "slowest": slowest}


def limited() -> None:
    """A batch may not have all the memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


# --- the parent -----------------------------------------------------------------------------------


def child(kind: str, seed: int, count: int) -> dict[str, Any]:
    """Run one batch in a process of its own; a crash or a hang is a finding."""
    command = [sys.executable, __file__, "--again", f"{kind}:{seed}", "--count", str(count)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            preexec_fn=limited if os.name == "posix" else None,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return {"outcomes": {}, "strange": [f"hang: no end after {LIMIT:.0f} s"], "slowest": LIMIT}
    if done.returncode:
        said = f"crash: exit code {done.returncode}: {done.stderr[-300:]}"
        return {"outcomes": {}, "strange": [said], "slowest": 0.0}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if done.stderr.strip():  # of a library: a user would see it on the screen
        found["strange"].append(f"chatter: {done.stderr[-300:]}")
    return found


def fuzz(wanted: dict[str, int], *, seconds: float, seed: int) -> dict[str, Any]:
    """Run batches of every kind until the numbers or the time are reached.

    Returns
    -------
    kind -> inputs, outcomes (code -> count), slowest (s); strange: what must not happen.
    """
    began = time.monotonic()
    kinds: dict[str, Any] = {
        k: {"inputs": 0, "outcomes": Counter[str](), "slowest": 0.0} for k, n in wanted.items() if n
    }
    strange: list[str] = []
    number = seed
    while time.monotonic() - began < seconds:
        open_kinds = [k for k in kinds if kinds[k]["inputs"] < wanted[k]]
        if not open_kinds:
            break
        for kind in open_kinds:
            found = kinds[kind]
            count = min(BATCH[kind], wanted[kind] - found["inputs"])
            result = child(kind, number, count)
            found["inputs"] += count
            found["outcomes"].update(result["outcomes"])
            found["slowest"] = max(found["slowest"], result["slowest"])
            strange += [f"{kind}:{number} {line}" for line in result["strange"]]
        number += 1
    return {**kinds, "strange": strange, "seconds": time.monotonic() - began}


def main() -> int:
    """Read the arguments, fuzz, print what was found; 1 if anything must not happen."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of serfeat.")
    parser.add_argument("--audio", type=int, default=5_000)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--imports", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", default="", help="kind:seed, one batch in this process")
    parser.add_argument("--count", type=int, default=0)
    given = parser.parse_args()
    if given.again:
        kind, number = given.again.split(":")
        print(json.dumps(batch(kind, int(number), given.count or BATCH[kind])))
        return 0
    wanted = {"audio": given.audio, "texts": given.texts, "imports": given.imports}
    found = fuzz(wanted, seconds=given.seconds, seed=given.seed)
    print(json.dumps(found, indent=1))
    return 1 if found["strange"] else 0


if __name__ == "__main__":
    sys.exit(main())
