"""Options are read strictly: every mistake names its key and the way out, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from npubench.contract.options import OptionError, nearest, parse_options


@dataclass(frozen=True)
class Options:
    cores: int = 1
    share: float = 0.5
    mode: Literal["single", "global4", 8] = "single"
    path: str | None = None
    flags: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False


@dataclass(frozen=True)
class Needy:
    device: str

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("device must not be empty")


def test_no_values_give_the_defaults() -> None:
    assert parse_options(Options, {}) == Options()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"cores": 4}, Options(cores=4)),
        ({"share": 1}, Options(share=1.0)),
        ({"mode": "global4"}, Options(mode="global4")),
        ({"mode": 8}, Options(mode=8)),
        ({"path": "/dev/x"}, Options(path="/dev/x")),
        ({"path": None}, Options(path=None)),
        ({"flags": ["a", "b"]}, Options(flags=("a", "b"))),
        ({"limits": {"a": 1}}, Options(limits={"a": 1})),
        ({"extra": {"a": "1"}}, Options(extra={"a": "1"})),
        ({"verbose": True}, Options(verbose=True)),
    ],
)
def test_a_value_of_the_declared_type_is_taken(values: dict[str, Any], expected: Options) -> None:
    assert parse_options(Options, values) == expected


def test_a_whole_number_becomes_a_float_where_a_float_is_declared() -> None:
    assert type(parse_options(Options, {"share": 1}).share) is float


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cores", "4"),
        ("cores", 4.0),
        ("cores", True),
        ("share", "60.0"),
        ("share", True),
        ("mode", "globall4"),
        ("mode", 8.0),
        ("path", 3),
        ("flags", "a"),
        ("flags", ["a", 1]),
        ("limits", {"a": "1"}),
        ("limits", [1]),
        ("extra", {"a": 1}),
        ("verbose", 1),
        ("verbose", "true"),
    ],
)
def test_a_value_of_another_type_is_refused_by_key(key: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^target 'x': options: {key}: .*") as caught:
        parse_options(Options, {key: value}, "target 'x': options")
    assert "\n" not in str(caught.value)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"options: unknown key 'coers'; did you mean 'cores'\?"):
        parse_options(Options, {"coers": 1})


def test_an_unknown_key_far_from_all_lists_what_is_valid() -> None:
    with pytest.raises(
        OptionError, match=r"unknown key 'zzzz'; valid are: cores, extra, flags, limits, mode, path, share, verbose$"
    ):
        parse_options(Options, {"zzzz": 1})


def test_a_wrong_literal_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'single'"):
        parse_options(Options, {"mode": "singel"})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(OptionError, match="options: key 'device' is missing"):
        parse_options(Needy, {})


def test_what_the_dataclass_itself_refuses_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="options: device must not be empty"):
        parse_options(Needy, {"device": ""})


def test_nearest_says_so_where_nothing_is_valid() -> None:
    assert nearest("x", []) == "; there are none here"
