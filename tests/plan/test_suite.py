"""Suite and host files are read strictly; every mistake is one sentence with the file, the key and what is valid there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from npubench.contract.runspec import Phase, Scenario
from npubench.errors import SuiteError
from npubench.plan.suite import HostFile, PhaseName, ScenarioName, SuiteFile, read_host, read_suite, shipped_suites

SUITE = """\
schema_version = 1
name = "night"
grade = "nightly"

[target.card]
backend = "acme"
device = "npu:0"

[target.card.options]
cores = 4

[[run]]
targets = ["card"]
workloads = ["tiny"]
"""


def write(folder: Path, text: str, name: str = "suite.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str) -> str:
    """Return what is wrong with a suite; one sentence that begins with the file."""
    path = write(folder, text)
    with pytest.raises(SuiteError) as caught:
        read_suite(str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def test_a_suite_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, SUITE)
    suite, where = read_suite(str(path))
    (run,) = suite.run
    assert where == path
    assert (suite.name, suite.grade, suite.watchdog_s, suite.deadline_s) == ("night", "nightly", 60.0, {})
    assert suite.target["card"].options == {"cores": 4}
    assert (run.precisions, run.scenarios, run.target_qps, run.in_flight, run.batch) == (
        ["fp32"],
        ["single-stream"],
        "auto",
        1,
        None,
    )


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("target_qps = 300", "target_qps", 300.0),
        ("target_qps = 0.5", "target_qps", 0.5),
        ('target_qps = "auto"', "target_qps", "auto"),
        ("duration_s = 90", "duration_s", 90.0),
        ("latency_bound_ms = 3", "latency_bound_ms", 3.0),
        ("coalesce_delay_ms = 0", "coalesce_delay_ms", 0.0),
        ('precisions = ["vendor", "int8"]', "precisions", ["vendor", "int8"]),
        ("batch = 16", "batch", 16),
    ],
)
def test_a_valid_value_is_taken(tmp_path: Path, line: str, field: str, value: object) -> None:
    suite, _ = read_suite(str(write(tmp_path, SUITE + line + "\n")))
    assert getattr(suite.run[0], field) == value


def at(line: str, new: str) -> str:
    """Return the suite with one of its lines changed."""
    assert SUITE.count(line) == 1
    return SUITE.replace(line, new)


WRONG = [
    # unknown keys
    (SUITE + "batches = 4\n", "unknown key 'run[0].batches'; did you mean 'batch'?"),
    ("grades = 1\n" + SUITE, "unknown key 'grades'; did you mean 'grade'?"),
    (at("grade =", "grad ="), "unknown key 'grad'; did you mean 'grade'?"),
    (at("backend =", "backnd ="), "unknown key 'target.card.backnd'; did you mean 'backend'?"),
    (
        "zzzz = 1\n" + SUITE,
        "unknown key 'zzzz'; valid are: deadline_s, grade, name, profile, run, schema_version, target, watchdog_s",
    ),
    (at('device = "npu:0"', 'device = "npu:0"\ndevise = "x"'), "unknown key 'target.card.devise'; did you mean 'device'?"),
    (SUITE.replace("card", "float-card") + "[target.float-card.x]\n", "unknown key 'target.float-card.x'"),
    # unknown names
    (at('"nightly"', '"nigthly"'), "grade: 'nigthly' is not valid; did you mean 'nightly'?"),
    (SUITE + 'scenarios = ["single-steam"]\n', "run[0].scenarios[0]: 'single-steam' is not valid; did you mean 'single-stream'?"),
    (SUITE + 'precisions = ["fp32", "int4"]\n', "run[0].precisions[1]: 'int4' is not valid; did you mean 'int8'?"),
    (SUITE + 'target_qps = "fast"\n', "run[0].target_qps: 'fast' is not valid"),
    (SUITE + "[deadline_s]\nmeasur = 3\n", "deadline_s.measur: 'measur' is not valid; did you mean 'measure'?"),
    (at('"night"', '"Night shift"'), "name: string should match pattern"),
    # missing keys
    (at('grade = "nightly"\n', ""), "key 'grade' is missing"),
    (at("schema_version = 1\n", ""), "key 'schema_version' is missing"),
    (at('backend = "acme"\n', ""), "key 'target.card.backend' is missing"),
    (at('workloads = ["tiny"]\n', ""), "key 'run[0].workloads' is missing"),
    ('schema_version = 1\nname = "n"\ngrade = "smoke"\n', "key 'target' is missing"),
    # wrong types and values
    (SUITE + 'batch = "8"\n', "run[0].batch: input should be a valid integer (it is '8')"),
    (SUITE + "batch = 8.0\n", "run[0].batch: input should be a valid integer (it is 8.0)"),
    (SUITE + "batch = true\n", "run[0].batch: input should be a valid integer (it is True)"),
    (SUITE + "batch = 0\n", "run[0].batch: input should be greater than or equal to 1 (it is 0)"),
    (SUITE + "in_flight = 0\n", "run[0].in_flight: input should be greater than or equal to 1 (it is 0)"),
    (SUITE + "target_qps = 0\n", "run[0].target_qps: input should be greater than 0 (it is 0)"),
    (SUITE + "target_qps = -1.5\n", "run[0].target_qps: input should be greater than 0 (it is -1.5)"),
    (SUITE + "target_qps = inf\n", "run[0].target_qps: input should be a finite number (it is inf)"),
    (SUITE + "duration_s = nan\n", "run[0].duration_s: "),
    (SUITE + 'latency_bound_ms = "5 ms"\n', "run[0].latency_bound_ms: input should be a valid number"),
    (SUITE + "coalesce_delay_ms = -1\n", "run[0].coalesce_delay_ms: input should be greater than or equal to 0 (it is -1)"),
    (at('targets = ["card"]', 'targets = "card"'), "run[0].targets: input should be a valid list (it is 'card')"),
    (at('targets = ["card"]', "targets = []"), "run[0].targets: list should have at least 1 item"),
    (at("[[run]]", "[run]"), "run: there may be several; write [[run]] instead of [run]"),
    ("watchdog_s = 0\n" + SUITE, "watchdog_s: input should be greater than 0 (it is 0)"),
    # versions and syntax
    (at("schema_version = 1", "schema_version = 2"), "schema_version is 2, this npubench reads 1; install a newer npubench"),
    (at("schema_version = 1", 'schema_version = "1"'), "schema_version: '1' is not valid"),
    (at("schema_version = 1", "schema_version = 0"), "schema_version: "),
    (at("[target.card]", "[target.card"), "not valid TOML: "),
    (at('name = "night"', 'name = "night"\nname = "day"'), "not valid TOML: "),
    ("", "key "),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[words[:40] or str(n) for n, (_, words) in enumerate(WRONG)])
def test_a_mistake_is_named_with_its_key_and_what_is_valid_there(tmp_path: Path, text: str, words: str) -> None:
    assert complaint(tmp_path, text).startswith(words)


def test_a_suite_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"none\.toml: no such file"):
        read_suite(str(tmp_path / "none.toml"))


def test_a_folder_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="cannot be read: is a directory"):
        read_suite(str(tmp_path))


def test_bytes_that_are_no_text_are_no_suite(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SuiteError, match=r"s\.toml: cannot be read: "):
        read_suite(str(tmp_path / "s.toml"))


def test_an_unknown_name_names_the_nearest_shipped_suite() -> None:
    with pytest.raises(
        SuiteError, match=r"there is no suite 'dmeo'; did you mean 'demo'\? \(or give the path of a \.toml file\)"
    ):
        read_suite("dmeo")


@pytest.mark.parametrize("name", sorted(shipped_suites()))
def test_every_shipped_suite_is_valid_and_called_as_its_file(name: str) -> None:
    suite, path = read_suite(name)
    assert suite.name == path.stem == name


def test_the_names_a_suite_may_use_are_those_of_the_contract() -> None:
    assert get_args(ScenarioName) == tuple(scenario.value for scenario in Scenario)
    assert get_args(PhaseName) == tuple(phase.value for phase in Phase)


def test_every_key_says_what_it_is() -> None:
    for model in (SuiteFile, HostFile):
        schema = model.model_json_schema()
        parts = {model.__name__: schema, **schema["$defs"]}
        silent = [
            f"{name}.{key}"
            for name, part in parts.items()
            for key, value in part["properties"].items()
            if not value.get("description")
        ]
        assert silent == []


def test_no_host_file_is_an_empty_one() -> None:
    assert read_host(None) == HostFile(schema_version=1)


def test_a_folder_of_its_name_does_not_hide_a_shipped_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_suite("demo")[0].name == "demo"


def test_a_host_files_artefacts_lie_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'schema_version = 1\n[target.card.artefacts]\nresnet50 = "mxq/resnet50.mxq"\n', "testbed.toml")
    assert read_host(path).target["card"].artefacts == {"resnet50": str(tmp_path / "mxq" / "resnet50.mxq")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema_version = 1\nfree_core = [0]\n", "unknown key 'free_core'; did you mean 'free_cores'?"),
        ('schema_version = 1\nfree_cores = ["0"]\n', "free_cores[0]: input should be a valid integer"),
        ("schema_version = 1\n[target.card]\npyton = 3\n", "unknown key 'target.card.pyton'; did you mean 'python'?"),
        ("schema_version = 7\n", "schema_version is 7, this npubench reads 1; install a newer npubench"),
        ('schema_version = 1\n[system]\nmemroy = "64 GiB"\n', "system.memroy: did you mean 'memory'?"),
    ],
)
def test_a_host_file_is_read_as_strictly(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text, "testbed.toml")
    with pytest.raises(SuiteError) as caught:
        read_host(path)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_a_suite_that_two_packages_ship_is_neithers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("acme", "other"):
        package = tmp_path / f"{name}_suites"
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('listing imports nothing')")
        (package / "night.toml").write_text("")
        (package / f"{name}.toml").write_text("")
        info = tmp_path / f"{name}_suites-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-suites\nVersion: 1\n")
        # Two distributions may call their folder the same: what counts is the suite's own name.
        (info / "entry_points.txt").write_text(f"[npubench.suites]\nsuites = {name}_suites\ngone = {name}_gone.suites\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = shipped_suites()
    assert {"acme", "other", "night", "demo"} <= set(found)
    with pytest.raises(
        SuiteError, match=r"suite 'night' is shipped twice, as .*acme_suites/night\.toml and .*other_suites/night"
    ):
        read_suite("night")
