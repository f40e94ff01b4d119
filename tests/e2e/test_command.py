"""What the verbs print, and what they write."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer.main

from npubench.record.schema import SCHEMA_VERSION

from .scenes import Scenes
from .world import Result, World


def commands() -> dict[str, Any]:
    """Return every verb, with those of ``workloads``, by its words."""
    from npubench.cli import app

    found: dict[str, Any] = {}
    waiting = {(name,): command for name, command in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]
    while waiting:
        words, command = waiting.popitem()
        inner = getattr(command, "commands", None)
        if inner:
            waiting |= {(*words, name): one for name, one in inner.items()}
        else:
            found[" ".join(words)] = command
    return found


@pytest.mark.parametrize("words", commands())
def test_every_verb_has_help_with_an_example(words: str) -> None:
    text = commands()[words].help
    assert f"Example: npubench {words}" in text


def test_help_reaches_the_terminal(world: World) -> None:
    done = world("run", "--help")
    assert done.code == 0
    for word in ("Example: npubench run demo", "--model", "--shape", "--store", "NPUBENCH_STORE", "--round"):
        assert word in done.out


def test_the_version_is_printed(world: World) -> None:
    done = world("--version")
    assert done.code == 0
    assert re.fullmatch(r"npubench \d+\.\d+\.\d+\S*\n", done.out)


@pytest.mark.parametrize(
    "words",
    [["workloads", "list", "--json"], ["workloads", "show", "probe", "--json"], ["plan", "demo", "--json"], ["schema", "suite"]],
)
def test_json_is_nothing_but_json(world: World, words: list[str], inside: Callable[..., Result]) -> None:
    done = inside(world, *words)
    assert done.code == 0, done.err
    assert json.loads(done.out)


def test_a_plan_names_every_run_and_makes_nothing(world: World, inside: Callable[..., Result]) -> None:
    done = inside(world, "plan", "demo")
    assert done.code == 0
    assert "grade smoke" in done.out
    assert done.out.count("doc-orientation") >= 4
    assert {path.name for path in world.folder.iterdir()} <= {"tmp", "config"}


class Links(HTMLParser):
    """Everything a browser would fetch or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data", "srcset", "action")]


@pytest.fixture(scope="module", params=["en", "ko"])
def page(scenes: Scenes, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Any]:
    out = tmp_path_factory.mktemp("report") / "page.html"
    done = scenes.world("report", "--store", scenes.store, "--out", out, "--language", request.param)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == str(out)
    return request.param, out.read_text(encoding="utf-8"), done


def test_a_report_is_one_file_that_needs_no_other(page: tuple[str, str, Any]) -> None:
    language, text, _ = page
    assert f'lang="{language}"' in text[:400]
    links = Links()
    links.feed(text)
    assert not [link for link in links.found if not link.startswith(("#", "data:"))]
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)", text)


def test_a_report_says_simulated_and_smoke_and_ranks_nothing(page: tuple[str, str, Any]) -> None:
    _, text, done = page
    assert "SIMULATED" in text
    assert "SIMULATED devices are on this page; they are no hardware and never ranked" in done.out
    assert "grade smoke" in done.out
    # A rank would stand before a figure as "1. ".
    assert not re.search(r"│\s*\d\. ", done.out)


def test_the_page_goes_beside_the_records_unless_told_otherwise(scenes: Scenes, world: World) -> None:
    store = world.store()
    shutil.copytree(scenes.store, store)
    done = world("report", "--store", store)
    assert Path(done.out.splitlines()[-1]) == store / "comparison.html"
    assert (store / "comparison.html").is_file()


#: The command where no backend and no workload is installed.
BARE = """
import sys
from importlib import metadata

entries = metadata.entry_points
metadata.entry_points = lambda group: [point for point in entries(group=group) if group == "npubench.reports"]
sys.argv = ["npubench", *sys.argv[1:]]
from npubench.cli import main

main()
"""


def test_records_are_reported_where_no_plugin_and_no_bundle_is(scenes: Scenes, tmp_path: Path) -> None:
    """A report is a function of what is in the store."""
    out = tmp_path / "page.html"
    command = [sys.executable, "-c", BARE, "report", "--store", str(scenes.store), "--out", str(out)]
    env = {**scenes.world.env, "NPUBENCH_CACHE": str(tmp_path / "nothing")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.is_file()


def test_a_comparison_is_pairs_with_all_that_differs(scenes: Scenes, world: World) -> None:
    out = world.folder / "pair.html"
    asked = ["compare", "threads", "twin", "--store", scenes.store]
    as_json, as_text = world.all([[*asked, "--json"], [*asked, "--out", out, "--language", "en"]])
    assert (as_json.code, as_text.code) == (0, 0), as_json.err + as_text.err
    pairs = json.loads(as_json.out)
    assert (pairs["a"], pairs["b"]) == ("threads", "twin")
    assert [pair["metric"] for pair in pairs["pairs"]]
    # Simulated and smoke: never a verdict that ranks, and the one option that differs is named.
    assert "option:asynchronous" in {difference["what"] for difference in pairs["differences"]}
    assert "option:asynchronous" in as_text.out
    assert "only B has:" in as_text.out
    assert as_text.out.splitlines()[-1] == str(out)
    assert out.is_file()


def test_a_damaged_record_is_left_out_and_said(scenes: Scenes, world: World) -> None:
    store = world.store()
    shutil.copytree(scenes.store, store)
    folders = sorted(path.parent for path in store.glob("*/*/record.json"))
    (folders[0] / "record.json").write_text('{"schema_version": 1, "run_id": ')
    newer = json.loads((folders[1] / "record.json").read_text(encoding="utf-8"))
    (folders[1] / "record.json").write_text(json.dumps({**newer, "schema_version": 99}))
    done = world("report", "--store", store)
    assert done.code == 0
    assert done.err.count("left out, cannot be read:") == 2
    assert f"{folders[0]}/record.json: truncated or damaged" in done.err
    newest = f"this npubench reads up to {SCHEMA_VERSION}; install a newer npubench"
    assert f"{folders[1]}/record.json: schema_version is 99, {newest}" in done.err
    assert "Traceback" not in done.err
