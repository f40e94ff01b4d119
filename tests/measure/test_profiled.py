"""A profile is believed only as far as it is sane, wherever it comes from: a plug-in, or a file that somebody wrote."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.contract import OperatorTime
from npubench.measure.profiled import (
    LONGEST_NAME,
    LONGEST_REASON,
    MOST_NS,
    MOST_OPERATORS,
    Profile,
    ProfileError,
    checked_operators,
    profile_json,
    read_profile,
    reason_json,
)

ONE = OperatorTime("conv1", "Conv", 1000, 16, "device")

operators = st.builds(
    OperatorTime,
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=LONGEST_NAME),
    st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=20),
    st.integers(0, MOST_NS),
    st.integers(1, 10**12),
    st.sampled_from(["device", "host", ""]),
)


@given(st.lists(operators, min_size=1, max_size=20), st.integers(1, 10**6), st.integers(1, 512))
def test_a_profile_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[OperatorTime], samples: int, batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "operators.json"
    profile = Profile(samples, batch, checked_operators(found))
    path.write_text(profile_json(profile), encoding="utf-8")
    assert read_profile(path) == profile == Profile(samples, batch, tuple(found))


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it is NoneType, not a sequence"),
        ("conv", "it is str, not a sequence"),
        ({"conv": 1}, "it is dict, not a sequence"),
        ([], "it names no operator"),
        ([ONE] * (MOST_OPERATORS + 1), f"it names {MOST_OPERATORS + 1} operators"),
        ([ONE, ("conv", "Conv", 1, 1, "")], "operator 1 is tuple, not OperatorTime"),
        ([replace(ONE, name="")], "operator 0 has the name ''"),
        ([replace(ONE, kind=Rude())], "operator 0 has the kind Rude"),  # type: ignore[arg-type]
        ([replace(ONE, nanoseconds=-1)], "nanoseconds -1"),
        ([replace(ONE, nanoseconds=MOST_NS + 1)], "no whole number from 0"),
        ([replace(ONE, nanoseconds=1.5)], "nanoseconds 1.5"),  # type: ignore[arg-type]
        ([replace(ONE, nanoseconds=float("nan"))], "nanoseconds nan"),  # type: ignore[arg-type]
        ([replace(ONE, nanoseconds=True)], "nanoseconds True"),
        ([replace(ONE, calls=0)], "calls 0"),
        ([replace(ONE, where="cloud")], "where 'cloud'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_profile_is_refused_in_words(given: Any, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        checked_operators(given)
    assert str(caught.value).startswith("what the plug-in gave is no profile: ")
    assert said in str(caught.value)


def test_names_are_cut_and_freed_of_what_cannot_be_shown() -> None:
    (found,) = checked_operators([replace(ONE, name="\x1b[31mred\ud800" + "x" * 1000)])
    assert found.name.isprintable()
    assert len(found.name) == LONGEST_NAME
    found.name.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1",
        "[]",
        "[" * 100_000,
        "{}",
        '{"reason": 3}',
        '{"samples": 1, "batch": 1}',
        '{"samples": 0, "batch": 1, "operators": [["a", "b", 1, 1, ""]]}',
        '{"samples": 1, "batch": 1, "operators": [["a", "b", NaN, 1, ""]]}',
        '{"samples": 1, "batch": 1, "operators": [["a", "b", 1, 1]]}',
        '{"samples": 1, "batch": 1, "operators": {"a": 1}}',
        '{"samples": 1, "batch": 1, "operators": [["a", "b", 1, 1, ""]], "more": 1}',
    ],
)
def test_a_damaged_file_is_a_reason(text: str, tmp_path: Path) -> None:
    path = tmp_path / "operators.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=r"is damaged|is no profile"):
        read_profile(path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there is no profile"):
        read_profile(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProfileError, match="no plain file"):
        read_profile(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"[" + b" " * (16 << 20) + b"]")
    with pytest.raises(ProfileError, match="damaged"):
        read_profile(tmp_path / "large")


def test_a_reason_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "operators.json"
    path.write_text(reason_json("the device\n said " + "no" * LONGEST_REASON), encoding="utf-8")
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {"reason"}
    with pytest.raises(ProfileError, match=r"^the device  said no"):
        read_profile(path)
