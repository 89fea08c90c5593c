"""Do the intervals cover and do the tests keep their promise? Simulated corpora say.

Run: python bench/significance.py [--corpora 2000] [--jobs 2]

Prints docs/results/statistics.md's tables. Two worlds, in both of which the truth is known:

skilled  : speaker g is recognised by entry e in class c with the probability expit(base_c + skill),
           where skill is normal: .8 of each speaker, .4 of each speaker and class, and correlated
           by .7 between the entries. Clips that are hard for one entry are hard for the other.
trained  : clips are points around their class's centre, moved by speaker and by speaker and class;
           every entry sees its own measurement of them (speaker effects correlated by .7) and is a
           nearest-centroid classifier that is really trained and tested with one speaker left out,
           so that training sets overlap. Entries are equally good because they are exchangeable.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from serfeat.statistics.significance import TESTS, Hits, compare_hits
from serfeat.stats import bootstrap_over_groups

ALIKE = 0.7  # correlation of two entries' speaker effects
OF_SPEAKER, OF_CLASS = 0.8, 0.4  # standard deviations on the logit scale


def skilled(
    rng: np.random.Generator,
    *,
    speakers: int,
    entries: int,
    classes: int = 5,
    clips: float = 8.0,
    ahead: float = 0.0,
) -> Hits:
    """Draw a corpus in the skilled world; the first entry is `ahead` by so many logits."""
    shape = (speakers, classes, entries)
    base = np.linspace(0.0, 1.4, classes)[:, None] + ahead * (np.arange(entries) == 0)
    one = OF_SPEAKER * _alike(rng, (speakers, 1, entries))
    each = OF_CLASS * _alike(rng, shape)
    recall = expit(base + one + each)
    count = rng.poisson(clips, shape[:2])  # some speakers lack a class
    speaker, truth = np.nonzero(count)
    speaker, truth = (np.repeat(x, count[count > 0]) for x in (speaker, truth))
    hard = ndtr(_alike(rng, (len(truth), entries)))
    hit = (hard < recall[speaker, truth]).astype(float)
    return _hits(hit, truth, speaker)


def trained(
    rng: np.random.Generator, *, speakers: int, entries: int, classes: int = 5, clips: int = 6
) -> Hits:
    """Draw a corpus in the trained world and test every entry with one speaker left out."""
    size = 6  # columns of each entry
    shape = (speakers, classes, clips, size)
    centre = 0.8 * rng.standard_normal((classes, 1, size))
    hits = []
    shared = rng.standard_normal((speakers, 1, 1, size)), rng.standard_normal((*shape[:2], 1, size))
    for _ in range(entries):
        mine = [ALIKE**0.5 * s + (1 - ALIKE) ** 0.5 * rng.standard_normal(s.shape) for s in shared]
        x = centre + 0.6 * mine[0] + 0.4 * mine[1] + rng.standard_normal(shape)
        own = x.mean(axis=2)  # (speakers, classes, size)
        others = (own.sum(axis=0) - own) / (speakers - 1)  # centroids without the speaker
        distance = ((x[:, :, :, None] - others[:, None, None]) ** 2).sum(axis=-1)
        hits.append(distance.argmin(axis=-1) == np.arange(classes)[:, None])
    speaker, truth, _ = np.indices(shape[:3]).reshape(3, -1)
    return _hits(np.stack(hits, axis=-1).reshape(-1, entries).astype(float), truth, speaker)


def _alike(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers that correlate by ALIKE along the last axis."""
    common = rng.standard_normal((*shape[:-1], 1))
    return ALIKE**0.5 * common + (1 - ALIKE) ** 0.5 * rng.standard_normal(shape)


def _hits(hit: np.ndarray, truth: np.ndarray, speaker: np.ndarray) -> Hits:
    """Each speaker is a fold; each clip is tested once."""
    names = tuple(f"entry {e}" for e in range(hit.shape[1]))
    speaker = np.unique(speaker, return_inverse=True)[1]
    return Hits(names, hit, truth, speaker, speaker, np.arange(len(truth)))


WORLDS = {"skilled": skilled, "trained": trained}


def true_uar(ahead: float = 0.0, *, classes: int = 5) -> float:
    """UAR of an entry of the skilled world over all speakers that there could be."""
    skill = np.hypot(OF_SPEAKER, OF_CLASS) * np.random.default_rng(0).standard_normal(400_000)
    return float(expit(np.linspace(0.0, 1.4, classes)[:, None] + ahead + skill).mean())


def logits_ahead(points: float) -> float:
    """How far ahead an entry of the skilled world is by so many points of UAR."""
    from scipy.optimize import brentq

    return float(brentq(lambda a: true_uar(a) - true_uar() - points / 100, 0.0, 3.0))


def verdicts(
    world: str, speakers: int, entries: int, points: float, corpora: int, seed: int
) -> pd.DataFrame:
    """Test simulated corpora: one row each; per test and rule, whether it found a difference.

    Columns: every test raw and Holm-adjusted (any pair below .05), ``better`` (any pair), and
    ``wrong`` (the rule preferred some entry that is not ahead, to any other).
    """
    rng = np.random.default_rng([seed, speakers, entries])
    ahead = {"ahead": logits_ahead(points)} if points else {}
    rows = []
    for corpus in range(corpora):
        hits = WORLDS[world](rng, speakers=speakers, entries=entries, **ahead)
        table = compare_hits(hits, n=400, seed=corpus)
        row = {name: (table[f"p_{name}"] < 0.05).any() for name in TESTS}
        row |= {f"{name}, Holm": (table[f"p_{name}_holm"] < 0.05).any() for name in TESTS}
        row |= {"interval": ((table["low"] > 0) | (table["high"] < 0)).any()}
        row |= {"better": table["better"].any()}
        row |= {"wrong": (table["better"] & (table["a"] != "entry 0")).any()}
        rows.append(row)
    return pd.DataFrame(rows)


def coverage(speakers: int, corpora: int, seed: int) -> dict[str, float]:
    """Share of the corpora whose 95 % interval of UAR covers the truth, per method."""
    rng, truth = np.random.default_rng([seed, speakers]), true_uar()
    covered = dict.fromkeys(("logit", "percentile"), 0)
    for corpus in range(corpora):
        hits = skilled(rng, speakers=speakers, entries=1)
        classes = int(hits.truth.max()) + 1
        counts = np.zeros((speakers, classes, 2))
        np.add.at(counts, (hits.speaker, hits.truth, hits.hit[:, 0].astype(int)), 1)

        def uar(n: np.ndarray) -> np.ndarray:
            support = n.sum(axis=-1)
            recall = np.divide(n[..., 1], support, out=np.full(support.shape, np.nan),
                               where=support > 0)  # fmt: skip
            return np.nanmean(recall, axis=-1)

        for method in covered:
            low, high = bootstrap_over_groups(
                counts, statistic=uar, n=400, seed=corpus, method=method
            )
            covered[method] += bool(low <= truth <= high)
    return {method: count / corpora for method, count in covered.items()}


def _shares(columns: dict[str, pd.DataFrame], names: list[str]) -> str:
    """A markdown table: one row per test, one column per case, in per cent."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in names:
        shares = [f"{100 * table[name].mean():.1f}" for table in columns.values()]
        lines.append(f"| {name} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    each, rules = [*TESTS, "interval", "better"], [f"{t}, Holm" for t in TESTS]
    cases = {
        (world, points, entries): [(world, g, entries, points) for g in (5, 10, 14)]
        for world, points, entries in (
            ("skilled", 0.0, 2),
            ("trained", 0.0, 2),
            ("skilled", 0.0, 6),
            ("trained", 0.0, 6),
            ("skilled", 5.0, 2),
            ("skilled", 10.0, 2),
            ("skilled", 10.0, 6),
        )
    }
    with ProcessPoolExecutor(options.jobs) as pool:
        sizes = (5, 10, 14, 24)
        found = pool.map(
            partial(coverage, corpora=options.corpora, seed=options.seed), sizes, chunksize=1
        )
        print("Coverage of nominal 95 % intervals, %\n")
        columns = {f"{g} speakers": pd.DataFrame([f]) for g, f in zip(sizes, found, strict=True)}
        print(_shares(columns, ["logit", "percentile"]), flush=True)
        for (world, points, entries), settings in cases.items():
            futures = {
                f"{setting[1]} speakers": pool.submit(
                    verdicts, *setting, corpora=options.corpora, seed=options.seed
                )
                for setting in settings
            }
            columns = {name: future.result() for name, future in futures.items()}
            truth = f"one ahead by {points:g} points" if points else "all equally good"
            print(f"\n{world} world, {entries} entries, {truth}: % of corpora\n")
            names = each if entries == 2 else [*each, *rules]
            print(_shares(columns, [*names, "wrong"] if points else names), flush=True)


if __name__ == "__main__":
    main()
