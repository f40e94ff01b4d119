"""Made-up runs whose truth is known, and what the analysis says of them; every trial is a function of its seed alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.certified import certified_percentile
from npubench.analyze.changes import find_changes
from npubench.analyze.intervals import MATERIAL, block_medians, drift, ratio_of_percentiles, throughput
from npubench.analyze.repeats import mean_over_repeats, wants_another, widened
from npubench.analyze.shape import count_modes, outlier_share
from npubench.analyze.stability import STRETCHES
from npubench.analyze.stability_rules import FEWEST_OUTLIERS, OUTLIERS_NOTED
from npubench.plan.grades import GRADES
from npubench.report.ratio import ratio_over_repeats

Series = NDArray[np.float64]
#: Draws so many values about 1, in order of time.
Law = Callable[[np.random.Generator, int], Series]
#: Says whether what was asked came true in the run of a seed; None where the analysis says nothing.
Trial = Callable[[int], bool | None]

_MS = 1e6


def _autoregression(generator: np.random.Generator, count: int, phi: float) -> Series:
    """Draw a stationary first-order autoregression with normal values of variance 1."""
    from scipy.signal import lfilter

    steps = generator.standard_normal(count) * math.sqrt(1.0 - phi * phi)
    steps[0] /= math.sqrt(1.0 - phi * phi)
    return np.asarray(lfilter([1.0], [1.0, -phi], steps), dtype=np.float64)


def _alike(phi: float) -> Law:
    return lambda generator, count: np.exp(0.1 * _autoregression(generator, count, phi))


#: Honest runs: one level, and whatever scatter.
LAWS: dict[str, Law] = {
    "constant, 0.1 % of clock": lambda generator, count: 1.0 + 0.001 * generator.random(count),
    "normal, 1 %": lambda generator, count: 1.0 + 0.01 * generator.standard_normal(count),
    "lognormal, 10 %": lambda generator, count: np.exp(0.1 * generator.standard_normal(count)),
    "lognormal, 50 %": lambda generator, count: np.exp(0.5 * generator.standard_normal(count)),
    "gamma, shape 4": lambda generator, count: generator.gamma(4.0, 0.25, count),
    "exponential": lambda generator, count: generator.exponential(1.0, count),
    "fixed with exponential on top": lambda generator, count: 1.0 + 0.05 * generator.exponential(1.0, count),
    "lognormal, 10 %, neighbours alike by 0.5": _alike(0.5),
    "lognormal, 10 %, neighbours alike by 0.9": _alike(0.9),
    "lognormal, 10 %, neighbours alike by 0.97": _alike(0.97),
    "lognormal, 10 %, neighbours alike by 0.99": _alike(0.99),
}

#: Independent laws by their quantile functions, for percentiles whose truth is exact.
_KNOWN = ("exponential", "lognormal", "gamma", "pareto", "uniform", "normal")


def _known(name: str, uniform: Series) -> Series:
    """Return the quantiles of one of the known laws, above 0."""
    from scipy.special import gammaincinv, ndtri

    if name == "exponential":
        return -np.log1p(-uniform)
    if name == "lognormal":
        return np.exp(0.5 * np.asarray(ndtri(uniform)))
    if name == "gamma":
        return np.asarray(gammaincinv(4.0, uniform), dtype=np.float64)
    if name == "pareto":
        return (1.0 - uniform) ** -0.5
    return 1.0 + uniform if name == "uniform" else 10.0 + np.asarray(ndtri(uniform))


def as_ns(values: Series) -> NDArray[np.int64]:
    """Return latencies of some ms, as a trace has them."""
    return (np.maximum(values, 1e-3) * _MS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Question:
    """One row of the table: a trial, and how often it may or must come true.

    Args:
        section: Which table it stands in.
        about: What the runs are like.
        trial: Of one seed.
        runs: How many seeds, 0 and on.
        most: At most this share may come true; None = not asked.
        least: At least this share must; None = not asked.
    """

    section: str
    about: str
    trial: Trial
    runs: int
    most: float | None = None
    least: float | None = None


def questions() -> Iterator[Question]:
    """Yield every question in the order of the page."""
    for percentile in (0.5, 0.9, 0.99):
        for count in (662, 2000):
            trial = _exceeds(percentile, count)
            yield Question("certified", f"p{percentile * 100:g} of {count} queries", trial, 1000 * len(_KNOWN), most=0.01)
    for name in ("lognormal, 10 %", "lognormal, 50 %", *list(LAWS)[-4:]):
        for count in (1000, 5000):
            trial = _covers_throughput(LAWS[name], 0.5 if "50 %" in name else 0.1, count)
            yield Question("throughput", f"{name}; {count} completions", trial, 1000, least=0.95)
    for name in ("lognormal, 50 %", *list(LAWS)[-4:]):
        for percentile, count in ((0.9, 1000), (0.99, 5000)):
            about = f"{name}; p{percentile * 100:g} of {count} queries"
            yield Question("ratio", about, _covers_ratio(LAWS[name], percentile, count), 400, least=0.95)
    for scatter in (0.002, 0.01, 0.02, 0.03, 0.05):
        differing = f"processes differ by {scatter:.1%}"
        yield Question("repeats", f"value of a cell; {differing}", _covers_mean(scatter), 2000, least=0.95)
        yield Question("repeats", f"ratio of two cells; {differing}", _covers_cells(scatter), 2000, least=0.95)
    for name, law in LAWS.items():
        yield Question("false change-point", f"{name}; 2000 queries", _changes(law, 2000), 1000, most=0.01)
    for name in list(LAWS)[-3:]:
        yield Question("false change-point", f"{name}; 600 queries", _changes(LAWS[name], 600), 1000, most=0.01)
    for name, law in LAWS.items():
        yield Question("false drift", f"{name}; 2000 queries", _drifts(law, 2000), 500, most=0.02)
    for name, law in LAWS.items():
        yield Question("false modes", f"{name}; 2000 queries", _modes(law, 2000), 500, most=0.01)
    for name, law in LAWS.items():
        yield Question("false outliers", f"{name}; 2000 queries", _outliers(law, 2000), 500, most=0.01)
    for name in ("normal, 1 %", "lognormal, 10 %", "lognormal, 50 %", *list(LAWS)[-4:-1]):
        for count in (2000, 20_000):
            for step in (0.05, 0.1, 0.2):
                about = f"a step of {step:.0%} in the middle; {name}; {count} queries"
                yield Question("power", about, _changes(_stepped(LAWS[name], step), count), 200)
    for name in ("lognormal, 10 %", "lognormal, 10 %, neighbours alike by 0.9"):
        for step in (0.05, 0.1, 0.2):
            about = f"a spell of {step:.0%} in the middle fifth; {name}; 20000 queries"
            yield Question("power", about, _changes(_spelled(LAWS[name], step), 20_000), 200)
    for share in (0.1, 0.3):
        for away in (0.1, 0.2):
            about = f"a second mode of {share:.0%} of queries, {away:.0%} slower; normal, 1 %; 2000 queries"
            yield Question("power", about, _modes(_mixed(LAWS["normal, 1 %"], share, away), 2000), 200)
    for share in (0.005, 0.02):
        about = f"{share:.1%} of queries take three times as long; lognormal, 10 %; 2000 queries"
        yield Question("power", about, _outliers(_mixed(LAWS["lognormal, 10 %"], share, 2.0), 2000), 200)


def _exceeds(percentile: float, count: int) -> Trial:
    """Whether the true percentile is above the certified bound."""

    def trial(seed: int) -> bool:
        name = _KNOWN[seed % len(_KNOWN)]
        generator = np.random.default_rng((1, count, seed))
        bound = certified_percentile(as_ns(_known(name, generator.random(count))), percentile).high
        true = int(as_ns(_known(name, np.array([percentile])))[0])
        return bound is not None and true > bound

    return trial


def _covers_throughput(law: Law, scatter: float, count: int) -> Trial:
    """Whether the interval holds 1 ÷ the mean of a lognormal law of ``scatter``, which is what the rate comes to in the end."""
    mean = math.exp(scatter * scatter / 2.0)

    def trial(seed: int) -> bool | None:
        done = np.cumsum(as_ns(law(np.random.default_rng((2, count, seed)), count)))
        found = throughput(done, np.ones(count, np.int64), 0, int(done[-1]))
        return None if found.low is None or found.high is None else found.low <= 1e9 / (mean * _MS) <= found.high

    return trial


def _covers_ratio(law: Law, percentile: float, count: int) -> Trial:
    """Whether the interval of two runs' ratio holds it; the second is 5 % slower."""

    def trial(seed: int) -> bool | None:
        generator = np.random.default_rng((3, count, seed))
        first, second = as_ns(law(generator, count)), as_ns(1.05 * law(generator, count))
        found = ratio_of_percentiles(second, first, percentile, seed=seed)
        return None if found.low is None or found.high is None else found.low <= 1.05 <= found.high

    return trial


def _processes(generator: np.random.Generator, scatter: float) -> list[float]:
    """Draw an official cell's repeats: the planned ones, and more until their interval is narrow."""
    grade = GRADES["official"]
    values = list(np.exp(scatter * generator.standard_normal(grade.repeats)))
    while wants_another(values, grade):
        values.append(float(np.exp(scatter * generator.standard_normal())))
    return values


def _covers_mean(scatter: float) -> Trial:
    def trial(seed: int) -> bool | None:
        found = mean_over_repeats(_processes(np.random.default_rng((4, seed)), scatter), "", GRADES["official"])
        true = math.exp(scatter * scatter / 2.0)
        return None if found.low is None or found.high is None else found.low <= true <= found.high

    return trial


def _covers_cells(scatter: float) -> Trial:
    def trial(seed: int) -> bool | None:
        generator = np.random.default_rng((5, seed))
        first, second = _processes(generator, scatter), _processes(generator, scatter)
        found = ratio_over_repeats(first, second, True, widened(GRADES["official"]))
        return None if found.low is None or found.high is None else found.low <= 1.0 <= found.high

    return trial


def _stepped(law: Law, step: float) -> Law:
    return lambda generator, count: law(generator, count) * np.where(np.arange(count) >= count // 2, 1.0 + step, 1.0)


def _spelled(law: Law, step: float) -> Law:
    def drawn(generator: np.random.Generator, count: int) -> Series:
        at = np.arange(count) / count
        return law(generator, count) * np.where((at >= 0.4) & (at < 0.6), 1.0 + step, 1.0)

    return drawn


def _mixed(law: Law, share: float, away: float) -> Law:
    return lambda generator, count: law(generator, count) * np.where(generator.random(count) < share, 1.0 + away, 1.0)


def _run(law: Law, count: int, seed: int) -> NDArray[np.int64]:
    return as_ns(law(np.random.default_rng((6, count, seed)), count))


def _changes(law: Law, count: int) -> Trial:
    return lambda seed: bool(find_changes(block_medians(_run(law, count, seed), STRETCHES), effect=MATERIAL))


def _drifts(law: Law, count: int) -> Trial:
    def trial(seed: int) -> bool | None:
        found = drift(block_medians(_run(law, count, seed)))
        return None if found is None else found.drifts

    return trial


def _modes(law: Law, count: int) -> Trial:
    def trial(seed: int) -> bool | None:
        found = count_modes(_run(law, count, seed))
        return None if found is None else found > 1

    return trial


def _outliers(law: Law, count: int) -> Trial:
    def trial(seed: int) -> bool | None:
        share = outlier_share(_run(law, count, seed))
        return None if share is None else share >= OUTLIERS_NOTED and round(share * count) >= FEWEST_OUTLIERS

    return trial
