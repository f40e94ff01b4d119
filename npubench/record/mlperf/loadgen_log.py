"""Read LoadGen's own account of a window, as others hand it in: ``mlperf_log_summary.txt``, and the detail log beside it.

The summary has three parts under headings between lines of "=": the outcome, further statistics, the settings in force
(mlcommons/inference ``loadgen/results.cc``). What counts is what the log says, never the folder that it lies in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.record.strict import read_json

#: The files' names.
SUMMARY, DETAIL = "mlperf_log_summary.txt", "mlperf_log_detail.txt"

#: The largest summary that is read, bytes; they have some 3 kB, and one of many warnings a little more.
MAX_SUMMARY_BYTES = 1 << 20
#: The largest detail log that is looked through, bytes, and its longest line.
MAX_DETAIL_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20

#: What an export that is no submission begins its text files with; never read as a published result.
NOTICE = "NOT A SUBMISSION"

_TITLE = "MLPerf Results Summary"
_SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
_LINE = re.compile(r"([A-Za-z0-9][\w .()/-]*?)\s*:\s*(\S.*)")
_PERCENTILE = re.compile(r"(\d{1,2}\.\d+) percentile latency \(ns\)", re.ASCII)
_STOPPING = re.compile(r"Early stopping (\d{1,2})(?:\.\d+)?(?:st|nd|rd|th) percentile estimate\s*:\s*(\S+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

#: Scenario → the lines that may be its headline, the best first, each with its unit. A server log of an older LoadGen leads
#: with what was scheduled, of a newer one with what was completed; multi-stream once counted the streams that were held.
_HEADLINES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "SingleStream": (("90th percentile latency (ns)", "ns"), ("90.0th percentile latency (ns)", "ns")),
    "MultiStream": (
        ("99th percentile latency (ns)", "ns"),
        ("99.0th percentile latency (ns)", "ns"),
        ("Samples per query", "samples/query"),
    ),
    "Server": (
        ("Completed tokens per second", "tokens/s"),
        ("Completed samples per second", "samples/s"),
        ("Scheduled samples per second", "samples/s"),
    ),
    "Offline": (("Tokens per second", "tokens/s"), ("Samples per second", "samples/s")),
}

#: Keys of the detail log that are held against the summary.
_HELD = ("effective_scenario", "result_validity")


@dataclass(frozen=True, slots=True)
class Account:
    """What a LoadGen log says of its window.

    Args:
        scenario: In LoadGen's words: SingleStream, MultiStream, Server or Offline.
        mode: PerformanceOnly, AccuracyOnly …; "" where the log does not say.
        valid: LoadGen's own verdict.
        metric, value, unit: Its headline line and figure.
        latencies_ns: ``p50`` … ``p99.9``, ``mean``, ``min``, ``max`` as far as it has them, ns.
        early_stopping_ns: ``p90`` → LoadGen's certified estimate, ns.
        settings: The settings in force, by LoadGen's names.
        statistics: Every figure of the outcome and of the further statistics, by LoadGen's names.
        doubts: Figures beside the headline that cannot be, and were left out, one sentence each.
    """

    scenario: str
    mode: str
    valid: bool
    metric: str
    value: float
    unit: str
    latencies_ns: Mapping[str, float] = field(default_factory=dict)
    early_stopping_ns: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def read_summary(data: bytes) -> Account:
    """Read a summary that others wrote.

    Raises:
        ValueError: No summary of LoadGen's, in another encoding, contradictory, or with a figure that is no number above 0.
    """
    if len(data) > MAX_SUMMARY_BYTES:
        raise ValueError(f"is larger than {MAX_SUMMARY_BYTES:,} bytes, which no summary of LoadGen's is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8 text (byte {error.start}); LoadGen writes UTF-8") from error
    if NOTICE in text[:200]:
        raise ValueError("is a preview that npubench exported, no published result")
    parts = _parts(text)
    outcome, further = _lines(parts[0]), _lines(parts[1])
    scenario = outcome.get("Scenario", "")
    if scenario not in _SCENARIOS:
        raise ValueError(f"says Scenario '{scenario[:40]}', which is none of {', '.join(_SCENARIOS)}")
    verdict = outcome.get("Result is", "")
    if verdict not in ("VALID", "INVALID"):
        raise ValueError(f"says Result is '{verdict[:40]}', neither VALID nor INVALID")
    statistics = {**further, **outcome}
    metric, unit = _headline(scenario, outcome, further)
    doubts: list[str] = []
    said = {f"p{float(found[1]):g}": (key, text) for key, text in further.items() if (found := _PERCENTILE.fullmatch(key))}
    said |= {word.lower(): (key, further[key]) for word in ("Min", "Max", "Mean") if (key := f"{word} latency (ns)") in further}
    latencies = _believable(said, doubts)
    estimates = {f"p{share}": (f"the early stopping estimate of p{share}", text) for share, text in _STOPPING.findall(parts[0])}
    stopping = _believable(estimates, doubts)
    return Account(
        scenario=scenario,
        mode=outcome.get("Mode", ""),
        valid=verdict == "VALID",
        metric=metric,
        value=_above_0(metric, statistics[metric]),
        unit=unit,
        latencies_ns=latencies,
        early_stopping_ns=stopping,
        settings=_lines(parts[2]),
        statistics=statistics,
        doubts=tuple(doubts),
    )


def contradictions(account: Account, detail: Path) -> list[str]:
    """Return in what the detail log says otherwise than the summary, one sentence each; empty where they agree.

    Raises:
        ValueError: It is too large, or a line that is asked for is no plain JSON.
        OSError: It cannot be read.
    """
    said = read_detail(detail, _HELD)
    found = []
    scenario, verdict = said.get("effective_scenario"), said.get("result_validity")
    if scenario is not None and scenario != account.scenario:
        found.append(f"the detail log says scenario {_short(scenario)}, the summary {account.scenario}")
    if verdict is not None and (verdict == "VALID") != account.valid:
        found.append(f"the detail log says {_short(verdict)}, the summary {'VALID' if account.valid else 'INVALID'}")
    return found


def read_detail(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of ``keys`` in a detail log, the first of each; a key that is not in it is left out.

    Raises:
        ValueError: The log is too large, or a line that is asked for is no plain JSON.
        OSError: It cannot be read.
    """
    wanted = {f'"key": "{key}"'.encode(): key for key in keys}
    found: dict[str, Any] = {}
    left = MAX_DETAIL_BYTES
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            left -= len(line)
            if left < 0 or len(line) > MAX_LINE_BYTES:
                raise ValueError("is larger than a detail log of LoadGen's may be, or has a line that is")
            if line.startswith(b":::MLLOG") and (key := next((k for mark, k in wanted.items() if mark in line[:200]), "")):
                entry = read_json(line[len(b":::MLLOG") :])
                if isinstance(entry, dict) and entry.get("key") == key:
                    found.setdefault(key, entry.get("value"))
    return found


def errors_in(path: Path) -> int:
    """Return how many errors LoadGen wrote into a detail log.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return sum(b'"is_error": true' in line for line in iter(lambda: file.readline(MAX_LINE_BYTES), b""))


def _parts(text: str) -> tuple[str, str, str]:
    """Return the text of the three parts."""
    found = {"": ""}
    for piece in re.split(r"^={20,}\s*$", text, flags=re.MULTILINE):
        title = piece.strip()
        if title in (_TITLE, "Additional Stats", "Test Parameters Used"):
            if title in found:
                raise ValueError(f"has the heading '{title}' twice")
            found[title] = ""
            last = title
        elif len(found) > 1:
            found[last] += piece
    if _TITLE not in found:
        raise ValueError(f"is no summary of LoadGen's: the heading '{_TITLE}' is missing")
    return found[_TITLE], found.get("Additional Stats", ""), found.get("Test Parameters Used", "")


def _lines(part: str) -> dict[str, str]:
    """Return ``key : value`` of every line that has one; a key that is there twice with other values is refused."""
    found: dict[str, str] = {}
    for line in part.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            key, value = match[1], match[2].strip()
            if found.setdefault(key, value) != value:
                raise ValueError(f"says '{key[:60]}' twice, and not the same")
    return found


def _headline(scenario: str, outcome: Mapping[str, str], further: Mapping[str, str]) -> tuple[str, str]:
    """Return the headline's line and its unit: of the outcome, else of what stands below it."""
    for part in (outcome, further):
        for line, unit in _HEADLINES[scenario]:
            if line in part:
                return line, unit
    raise ValueError(f"has no figure for {scenario}: none of {', '.join(line for line, _ in _HEADLINES[scenario])}")


def _believable(said: Mapping[str, tuple[str, str]], doubts: list[str]) -> dict[str, float]:
    """Return the figures that are numbers above 0; of the others, ``doubts`` says what they are. Published logs have some."""
    found = {}
    for name, (what, text) in said.items():
        try:
            found[name] = _above_0(what, text)
        except ValueError:
            doubts.append(f"what its log says of {what} is no number above 0: left out")
    return found


def _above_0(what: str, text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) and len(text) <= 40 else math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"says {what} is '{text[:40]}', which is no number above 0")
    return value


def _short(value: Any) -> str:
    return repr(value)[:40]
