"""The cheats are what they say, and the page on audits has every audit and every cheat with what came of it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.audits.judge import AUDITS
from npubench.testing.cheats import CHEATS, HONEST, Cheat
from npubench.testing.cheats.base import CheatBackend
from npubench.testing.graph import Graph, Node
from npubench.testing.simulated import SimulatedBackend
from npubench.verbs import audit_accuracy, audit_trials
from npubench.verbs.audit_accuracy import COMMAND, audit_rows, cheat_rows, holds, markdown, show_audit_accuracy
from npubench.verbs.audit_trials import Trial, dishonest_subjects, honest_subjects
from npubench.verbs.audit_words import WORDS

PAGE = (Path(__file__).parents[2] / "docs" / "audits.md").read_text(encoding="utf-8")
NAMES = [judge.__name__.removeprefix("judge_").replace("_", "-") for judge in AUDITS]

#: What has no cheat here: no made-up network is large enough for it.
WITHOUT = {"roofline"}


def found(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def passed(subject: str = "steady, one stream", **audits: str) -> Trial:
    return Trial(subject, "", 1, "ok", {**dict.fromkeys(NAMES, "passed"), **audits}, {}, ())


def cheated(cheat: Cheat, status: str = "failed") -> Trial:
    return Trial(cheat.name, cheat.audit, 1, "invalid", {**dict.fromkeys(NAMES, "passed"), cheat.audit: status}, {}, ())


def test_every_audit_is_in_words_and_has_a_cheat_that_is_meant_for_it() -> None:
    assert list(WORDS) == NAMES
    assert {cheat.audit for cheat in CHEATS} == set(NAMES) - WITHOUT


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_is_a_plug_in_that_says_which_audit_is_meant_for_it(cheat: Cheat) -> None:
    backend = found(cheat.entry)
    assert issubclass(backend, CheatBackend)
    assert f"``{cheat.audit}``" in backend.__doc__


def test_honest_runs_are_of_several_laws_paths_and_batches() -> None:
    known = honest_subjects()
    assert all(not subject.audit for subject in known)
    assert issubclass(found(HONEST), SimulatedBackend)
    assert not issubclass(found(HONEST), CheatBackend)
    assert {subject.options.get("jitter") for subject in known} >= {None, "lognormal", "uniform", "gamma"}
    assert {subject.in_flight for subject in known} >= {1, 2}
    assert {subject.batch for subject in known} >= {1, 8}
    assert [subject.audit for subject in dishonest_subjects()] == [cheat.audit for cheat in CHEATS]


def test_networks_of_cheats_are_not_the_one_that_is_handed_in() -> None:
    weight = np.random.default_rng(1).standard_normal((6, 6)).astype(np.float32)
    nodes = (Node("MatMul", ("x", "w"), "p"), Node("Relu", ("p",), "y"))
    graph = Graph(nodes, {"w": weight}, (), ())
    for name in ("SkipsLayers", "LowRank", "Float16", "BFloat16"):
        changed = found(f"npubench.testing.cheats.network:{name}")().changed(graph)
        off = float(np.abs(changed.constants["w"] - weight).max())
        assert (changed.nodes != graph.nodes) or 0.0 < off < 2.0, name
    one = found("npubench.testing.cheats.network:OwnNetwork")()
    assert one.changed(graph) is one.changed(Graph(nodes, {"w": weight * 2}, (), ())) is graph


def test_false_alarms_and_misses_are_counted() -> None:
    cheat = CHEATS[0]
    trials = [
        passed(),
        passed(**{"batch-work": "failed", "other-seeds": "not-carried-out"}),
        cheated(cheat),
        cheated(cheat, "passed"),
    ]
    rows = {row.audit: row for row in audit_rows(trials)}
    assert (rows["batch-work"].judged, rows["batch-work"].false_alarms) == (2, 1)
    assert (rows["other-seeds"].judged, rows["other-seeds"].false_alarms) == (1, 0)
    assert (rows[cheat.audit].meant, rows[cheat.audit].misses) == (2, 1)
    first = cheat_rows(trials)[0]
    assert (first.cheat, first.runs, first.caught) == (cheat.name, 2, 1)
    assert holds([passed(), cheated(cheat)])
    assert not holds([passed(**{"batch-work": "failed"})])
    assert not holds([cheated(cheat, "not-carried-out")])


def test_the_command_writes_the_page_and_says_by_its_code_whether_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [passed(), *map(cheated, CHEATS)]
    monkeypatch.setattr(audit_accuracy, "run_trials", lambda honest, cheats: iter(trials))
    assert show_audit_accuracy(tmp_path / "new" / "audits.md", False) == 0
    assert (tmp_path / "new" / "audits.md").read_text(encoding="utf-8").startswith("# Audits\n")
    trials[0] = passed(**{"same-outputs": "failed"})
    assert show_audit_accuracy(None, True) == 1
    assert '"false_alarms": 1' in capsys.readouterr().out


def test_the_page_is_the_commands_and_has_every_audit_and_every_cheat() -> None:
    date = re.search(r"on (\d{4}-\d\d-\d\d)", PAGE)
    assert date is not None
    assert f"`{COMMAND}`" in PAGE
    # Everything but figures, date and conditions is what the command writes.
    made = markdown([passed(), *map(cheated, CHEATS)], date[1])
    assert made.partition("## False alarms")[0] == PAGE.partition("## False alarms")[0], f"run: {COMMAND}"
    for cheat in CHEATS:
        assert re.search(rf"^\| {re.escape(cheat.name)} \| {cheat.audit} \|", PAGE, re.MULTILINE), f"run: {COMMAND}"
        assert f"* **{cheat.name}**: {cheat.what}" in PAGE


def test_the_page_says_that_no_honest_run_of_a_hundred_was_accused_and_no_cheat_missed() -> None:
    said = re.search(r"(\d+) of (\d+) honest runs accused; (\d+) of (\d+) runs of (\d+) cheats caught", PAGE)
    assert said is not None
    accused, honest, caught, dishonest, cheats = map(int, said.groups())
    assert accused == 0
    assert honest >= 100
    assert caught == dishonest >= cheats == len(CHEATS)
    rows = re.findall(r"^\| ([a-z-]+) \| (\d+) \| (\d+) \| (?:\d+|—) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == NAMES
    assert {(alarms, misses) for _, _, alarms, misses in rows if misses.isdigit()} == {("0", "0")}


def test_the_made_up_network_is_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUBENCH_CACHE", str(tmp_path / "cache"))
    bundle = audit_trials.made_up_bundle(tmp_path)
    assert bundle.samples == 64
    assert audit_trials.made_up_bundle(tmp_path).digest == bundle.digest
    spec = audit_trials.trial_spec(dishonest_subjects()[0], 7, bundle)
    assert spec.audits
    assert spec.audit_ns == 300_000_000
    assert spec.target.options["seed"] == 7
    assert spec.target.options["known"] == bundle.samples
