"""``npubench check`` on the simulated device and on toys: what a person, a script and a collector of test results get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from npubench.cli import app
from npubench.errors import InputError
from npubench.testing.conformance.checks import CHECKS
from npubench.testing.conformance.kit import BackendConformance, conformance
from npubench.verbs.check import Asked, check_backend

#: The toy plug-ins of the kit's own tests, found by name.
TOYS = Path(__file__).parents[1] / "testing"

ENTRIES = """
[npubench.backends]
toy-absent = broken_npus:Absent
toy-gullible = broken_npus:TakesAnything
toy-nowhere = no_such_npu:Plugin
"""


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of its own, and toys among the backends."""
    site = tmp_path_factory.mktemp("site")
    info = site / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    temporary = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPUBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("PYTHONPATH", f"{site}:{TOYS}")
        yield


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def check(backend: str, **asked: Any) -> tuple[int, str]:
        code = check_backend(Asked(backend, **{"queries": 60, **asked}))
        return code, capsys.readouterr().out

    return check


FAST = ("fixed_us=0", "per_sample_us=0")


def test_the_simulated_device_conforms(check: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    junit = tmp_path / "found.xml"
    code, said = check("simulated", options=(*FAST, "asynchronous=true", "max_in_flight=2"), as_json=True, junit=junit)
    found = json.loads(said)
    assert code == 0, [each for each in found["checks"] if each["status"] == "failed"]
    assert [each["name"] for each in found["checks"]] == [each.name for each in CHECKS]
    assert (found["backend"], found["device"], found["conforms"], found["complete"]) == ("simulated", "sim:plain", True, True)
    assert found["availability"]["rung"] == "ready"
    assert sum(found["counts"].values()) == len(CHECKS)
    # It stands in for hardware, which takes its time, and times no operators; all else concerns it.
    skipped = {"identity/clock", "answers/clock", "answers/profile"}
    assert {each["name"] for each in found["checks"] if each["status"] == "skipped"} == skipped
    for each in found["checks"]:
        assert each["expected"]
        assert each["advice"]
        assert each["seen"]
    root = ElementTree.parse(junit).getroot()
    cases = {f"{case.get('classname', '').rpartition('.')[2]}/{case.get('name')}": case for case in root.iter("testcase")}
    assert set(cases) == {each.name for each in CHECKS}
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == (str(len(CHECKS)), "0", str(len(skipped)))
    assert [suite.get("name") for suite in root] == list(dict.fromkeys(each.family for each in CHECKS))
    assert cases["identity/clock"].find("skipped") is not None


def test_a_failure_says_what_was_expected_what_was_seen_and_what_to_do(
    check: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    junit, artefact = tmp_path / "found.xml", tmp_path / "model.toy"
    artefact.write_text("{}")
    code, said = check("toy-gullible", only=["artefacts"], artefact=artefact, junit=junit)
    assert code == 1
    lines = said.splitlines()
    at = next(n for n, line in enumerate(lines) if "✘ wrong" in line)
    assert lines[at].endswith("A file that is no artefact of this runtime is refused by WrongArtefact.")
    assert lines[at + 1].split(None, 1) == ["seen", "a file of garbage is loaded without a word"]
    assert lines[at + 2].split(None, 1)[0] == "do"
    assert "✘ toy-gullible:toy:0 does not conform: 1 of 5 checks failed" in said
    assert lines[-1].strip() == "artefacts/wrong"
    case = next(case for case in ElementTree.parse(junit).getroot().iter("testcase") if case.get("name") == "wrong")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "a file of garbage is loaded without a word"
    assert "expected: A file that is no artefact" in str(failure.text)


def test_without_a_device_the_rung_and_the_way_up_are_said(check: Callable[..., tuple[int, str]]) -> None:
    code, said = check("toy-absent")
    assert code == 0
    assert "▲ toy-absent conforms as far as it can be seen without a device: 6 checks passed" in said
    assert said.splitlines()[-2:] == [
        "  driver_missing: the kernel module toy is not loaded",
        "  do    run: modprobe toy",
    ]
    # One line a reason, not one a check.
    assert "  – threads, submit, callbacks, order, blocked, thousands, pace  not seen without a device" in said


def test_a_plugin_that_does_not_import_fails_and_says_so(check: Callable[..., tuple[int, str]]) -> None:
    code, said = check("toy-nowhere", only=["identity"], as_json=True)
    found = {each["name"]: each for each in json.loads(said)["checks"]}
    assert code == 1
    assert found["identity/import"]["status"] == "failed"
    assert "No module named 'no_such_npu'" in found["identity/import"]["seen"]
    assert {each["missing"] for name, each in found.items() if name != "identity/import"} == {"plugin"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"backend": "simulatd"}, "there is no backend 'simulatd'; did you mean 'simulated'"),
        ({"device": "sim:plan"}, "backend 'simulated' has no device 'sim:plan'; did you mean 'sim:plain'"),
        ({"options": ["jiter=none"]}, "backend 'simulated': --option: options: unknown key 'jiter'; did you mean 'jitter'"),
        ({"options": ["fixed_us=fast"]}, "--option: options: fixed_us: 'fast' is not one of float | NoneType"),
        ({"options": ["fixed_us"]}, "--option fixed_us: write it as KEY=VALUE"),
        ({"env": ["=x"]}, "--env =x: write it as KEY=VALUE"),
        ({"only": ["answers/thruth"]}, "there is no check 'answers/thruth'; did you mean 'answers/truth'"),
        ({"artefact": Path("no.mxq")}, "--artefact no.mxq: there is no such file"),
        ({"model": Path("m.onnx"), "workload": "probe"}, "--model and --workload: give one of them"),
        ({"model": Path("m.onnx")}, "m.onnx: no such file"),
        ({"workload": "prob"}, "prob"),
        ({"python": "/no/such/python"}, "/no/such/python"),
    ],
)
def test_bad_input_is_told_in_a_sentence(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        check_backend(Asked(**{"backend": "simulated", **asked}))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        check_backend(Asked("simulated", only=["identity/import"], junit=tmp_path / "no" / "such.xml"))


def test_the_command_takes_what_the_verb_takes() -> None:
    said = CliRunner().invoke(app, ["check", "--help"], terminal_width=200)
    assert said.exit_code == 0
    for flag in (
        "--device",
        "--option",
        "--artefact",
        "--workload",
        "--model",
        "--python",
        "--env",
        "--only",
        "--queries",
        "--junit",
    ):
        assert flag in said.output


# ---------------------------------------------------------------- the kit for pytest


class Simulated(BackendConformance):
    backend = "simulated"
    options = {"fixed_us": 0.0, "per_sample_us": 0.0}  # noqa: RUF012 - as a test of a plug-in has it
    queries = 40


class Absent(BackendConformance):
    backend = "toy-absent"


class Insisting(Absent):
    must_be_ready = True


def test_the_kit_gives_each_check_as_a_test() -> None:
    assert conformance(Simulated)["answers/truth"]["status"] == "passed"
    assert conformance(Simulated) is conformance(Simulated)
    Simulated().test_conforms("answers/truth")
    with pytest.raises(pytest.skip.Exception, match="it brings no submit"):
        Simulated().test_conforms("flight/submit")


def test_the_kit_skips_or_insists_where_there_is_no_device() -> None:
    with pytest.raises(pytest.skip.Exception, match="driver_missing: the kernel module toy is not loaded; run: modprobe toy"):
        Absent().test_conforms("answers/truth")
    with pytest.raises(pytest.fail.Exception, match="answers/truth needs what is not here: driver_missing"):
        Insisting().test_conforms("answers/truth")


def test_the_kit_tells_a_failure_in_full(tmp_path: Path) -> None:
    artefact = tmp_path / "model.toy"
    artefact.write_text("{}")

    class Gullible(BackendConformance):
        backend = "toy-gullible"
        queries = 40

    Gullible.artefact = str(artefact)
    with pytest.raises(pytest.fail.Exception) as failure:
        Gullible().test_conforms("artefacts/wrong")
    for part in ("artefacts/wrong", "expected: ", "seen:     a file of garbage", "do:       "):
        assert part in str(failure.value)
