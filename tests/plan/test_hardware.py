"""The hardware catalogue: every figure with source and scope, bad ones refused, and nobody's neighbour taken for the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from npubench.errors import SuiteError
from npubench.plan.hardware import bandwidth_of, declared_tdp, peak_of, read_hardware, shipped_hardware

HARDWARE = shipped_hardware()

HEAD = 'schema_version = 1\n[[device]]\nname = "X1"\nvendor = "ACME"\n'
FIGURE = """
[[device.figure]]
what = "peak"
value = 64
unit = "TOPS"
precision = "int8"
density = "dense"
scope = "chip"
source = "acme.example/x1"
date = "2025"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "acme.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_device_of_the_field_is_there() -> None:
    wanted = {"Warboy", "RNGD", "ION", "ATOM", "REBEL-Quad", "X220-compact", "X220-enterprise", "DX-M1"}
    wanted |= {"A100 SXM 80GB", "A100 PCIe 80GB", "H100 PCIe", "H100 SXM", "H200 SXM", "L40S", "L4", "T4"}
    assert wanted <= set(HARDWARE.entries)


def test_every_figure_says_where_it_was_read() -> None:
    for entry in HARDWARE.entries.values():
        assert entry.figure, entry.name
        for figure in entry.figure:
            assert (figure.source == "no source at hand") == figure.unverified, (entry.name, figure)


def test_contradicting_declarations_are_both_kept_with_their_dates() -> None:
    assert [(f.value, f.date) for f in declared_tdp(HARDWARE.entries["RNGD"])] == [(180.0, "2025"), (150.0, "2024")]


def test_a_sparse_peak_is_kept_and_is_no_peak() -> None:
    l4 = HARDWARE.entries["L4"]
    assert {(f.value, f.density) for f in l4.figure if f.precision == "int8"} == {(485.0, "sparse"), (242.5, "dense")}
    found = peak_of(l4, "int8")
    assert found is not None
    assert found.size == 242.5e12
    assert peak_of(l4, "tf32") is None


def test_what_is_unverified_effective_or_of_a_server_is_no_peak() -> None:
    assert peak_of(HARDWARE.entries["ATOM-Max"], "int8") is None
    assert bandwidth_of(HARDWARE.entries["ATOM-Max"]) is None
    quad = bandwidth_of(HARDWARE.entries["REBEL-Quad"])
    assert quad is not None
    assert quad.size == 4.8e12
    server = HARDWARE.entries["RNGD server (8 cards)"]
    assert peak_of(server, "fp8") is None
    assert declared_tdp(server) == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("RBLN-CA22", "ATOM"),
        ("rbln_ca02", "ATOM"),
        ("WARBOY", "Warboy"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("Tesla T4", "T4"),
        ("DX-M1", "DX-M1"),
    ],
)
def test_a_kind_is_found_by_name_or_alias(kind: str, name: str) -> None:
    found = HARDWARE.find(kind)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("kind", ["", "RNGD-S", "RNGD+", "NVIDIA L400", "NVIDIA L40", "SIMULATED CA22-like", "H100"])
def test_a_kind_that_only_resembles_one_is_another_device(kind: str) -> None:
    assert HARDWARE.find(kind) is None


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    found = read_hardware([written(tmp_path, HEAD + FIGURE)]).find("x-1")
    assert found is not None
    assert found.figure[0].size == 64e12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('unit = "TOPS"', 'unit = "TOP"'), "a peak is in TOPS, TFLOPS"),
        (('unit = "TOPS"', 'unit = "W"'), "a peak is in TOPS"),
        (('density = "dense"\n', ""), "has precision and density"),
        (('what = "peak"', 'what = "bandwidth"'), "a bandwidth is in GB/s"),
        (('source = "acme.example/x1"\n', ""), "source"),
        (('source = "acme.example/x1"', 'source = ""'), "source"),
        (('date = "2025"', 'date = "last year"'), "date 'last year'"),
        (('scope = "chip"', 'scope = "rack"'), "scope"),
        (("value = 64", "value = 0"), "value"),
        (("value = 64", 'value = "64"'), "value"),
        (('unit = "TOPS"', 'unti = "TOPS"'), "unti"),
    ],
)
def test_a_figure_that_lacks_what_makes_it_one_is_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = HEAD + FIGURE
    assert change[0] in text
    path = written(tmp_path, text.replace(*change))
    with pytest.raises(SuiteError, match=r"acme\.toml") as error:
        read_hardware([path])
    assert words in str(error.value)


def test_two_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    second = HEAD.replace("schema_version = 1\n", "").replace('"X1"', '"X2"') + 'aliases = ["x 1"]\n'
    path = written(tmp_path, HEAD + second)
    with pytest.raises(SuiteError, match=r"device 'X2': 'x 1' is 'X1' already"):
        read_hardware([path])
