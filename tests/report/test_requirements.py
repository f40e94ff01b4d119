"""A requirement sheet is read strictly: what makes no sense is one sentence that says where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from npubench.errors import InputError
from npubench.report.requirements import METRICS, read_sheet

HEAD = 'schema_version = 1\nname = "관제 서버"\n'
LINE = 'workload = "tiny"\nscenario = "single-stream"\nmetric = "latency_p99"\nmax = 10\nunit = "ms"\nmandatory = true\n'


def sheet(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    path = tmp_path / "sheet.toml"
    path.write_text(head + "".join(f"[[requirement]]\n{line}\n" for line in lines), encoding="utf-8")
    return path


def test_bounds_are_in_the_records_unit(tmp_path: Path) -> None:
    asked = LINE.replace("mandatory = true", "weight = 30\nfull = 2.5\nat_bound = 0.6")
    read = read_sheet(sheet(tmp_path, asked), ["tiny"])
    (line,) = read.lines
    assert (line.number, line.unit, line.low, line.high, line.full) == (1, "ns", None, 10e6, 2.5e6)
    assert (read.name, read.weight) == ("관제 서버", 30)


def test_a_share_may_be_written_in_percent(tmp_path: Path) -> None:
    line = 'workload = "tiny"\nscenario = "offline"\nmetric = "accuracy"\nmin = 95\nunit = "%"\nweight = 1\n'
    assert read_sheet(sheet(tmp_path, line), ["tiny"]).lines[0].low == 0.95


def change(**values: str) -> str:
    """Return the line with keys set, or taken out by an empty text."""
    kept = [text for text in LINE.splitlines() if text.split(" = ")[0] not in values]
    return "\n".join(kept + [f"{key} = {value}" for key, value in values.items() if value]) + "\n"


WRONG = {
    "unknown metric": (change(metric='"latency_p98"'), r"requirement\[0\]: metric: there is no metric 'latency_p98'.*latency_p9"),
    "unknown workload": (change(workload='"tinny"'), r"there is no workload 'tinny' \(did you mean 'tiny'\?\)|tinny.*tiny"),
    "unknown scenario": (change(scenario='"servers"'), r"requirement\[0\].scenario: 'servers' is not valid.*server"),
    "unknown key": (change(weigth="3"), r"unknown key 'requirement\[0\].weigth'.*weight"),
    "negative bound": (change(max="-1"), r"max: -1 is below 0"),
    "min above max": (change(min="20"), r"min 20 is above max 10; nothing can meet both"),
    "no bound": (change(max=""), r"needs min or max"),
    "wrong way": (change(max="", min="3"), r"latency_p99 is the better the lower it is, so it needs max"),
    "no unit": (change(unit=""), r"unit is missing; latency_p99 is in ns, us, µs, ms, s"),
    "other unit": (change(unit='"W"'), r"unit: latency_p99 is in ns, us, µs, ms, s, not in W"),
    "unknown unit": (change(unit='"msec"'), r"unit: 'msec' is no unit"),
    "not a number": (change(max="nan"), r"requirement\[0\].max"),
    "endless": (change(max="inf"), r"requirement\[0\].max"),
    "accuracy above all": (change(metric='"accuracy"', max="", min="101", unit='"%"'), r"101 % is more than all"),
    "utilisation above all": (change(metric='"utilisation"', max="", min="1.2", unit='"share"'), r"1.2 is more than all"),
    "power of nothing": (
        change(metric='"watts"', unit='"W"'),
        r"domain: a bound on watts is of a chip, card, board, host or wall",
    ),
    "latency of a card": (change(domain='"card"'), r"domain: latency_p99 is of no domain of power"),
    "offline latency": (change(scenario='"offline"'), r"offline sends everything as one query"),
    "rate of no server": (
        change(metric='"query_rate"', max="", min="5", unit='"queries/s"'),
        r"query_rate is the server scenario's",
    ),
    "nothing follows": (change(mandatory=""), r"weight is 0 and it is not mandatory"),
    "negative weight": (change(weight="-3"), r"requirement\[0\].weight"),
    "endless weight": (change(weight="inf"), r"requirement\[0\].weight"),
    "half of a rule": (change(weight="3", full="5"), r"full and at_bound go together"),
    "full beyond the bound": (change(weight="3", full="12", at_bound="0.5"), r"full 12 must be below max 10"),
    "points without weight": (change(full="5", at_bound="0.5"), r"full and at_bound need a weight"),
}


@pytest.mark.parametrize("line", WRONG, ids=str)
def test_what_makes_no_sense_is_said_in_one_sentence(line: str, tmp_path: Path) -> None:
    written, said = WRONG[line]
    with pytest.raises(InputError, match=said) as raised:
        read_sheet(sheet(tmp_path, written), ["tiny"])
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "sheet.toml") in str(raised.value)


def test_two_lines_of_one_thing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"requirement\[1\]: asks for the same as requirement\[0\]"):
        read_sheet(sheet(tmp_path, LINE, LINE), ["tiny"])


def test_every_metric_can_be_asked_for(tmp_path: Path) -> None:
    """Each metric has a line that is accepted, with a unit of its own."""
    units = {"ns": "ms", "samples/s": "samples/s", "queries/s": "queries/s", "W": "W", "J/sample": "mJ/sample"}
    units |= {"samples/J": "samples/J", "share": "%", "times": "times", "": "ratio"}
    for name, measure in METRICS.items():
        bound = "max" if measure.higher_is_better is False else "min"
        domain = 'domain = "card"\n' if measure.energy else ""
        line = f'workload = "tiny"\nscenario = "server"\nmetric = "{name}"\n{bound} = 0.5\nunit = "{units[measure.unit]}"\n'
        line += "weight = 1\n" + domain
        assert read_sheet(sheet(tmp_path, line), ["tiny"]).lines[0].asked.metric == name
