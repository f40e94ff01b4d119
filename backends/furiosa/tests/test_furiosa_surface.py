"""Every name the plug-in uses, and every signature the fakes have, against the names and signatures of the vendor's wheels."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import npubench_furiosa

SURFACE = {
    module: names
    for path in (Path(__file__).parent / "surface").glob("*.json")
    for module, names in json.loads(path.read_text()).items()
    if module != "source"
}
SOURCES = sorted(Path(npubench_furiosa.__file__).parent.glob("*.py"))

FAKED = {
    "furiosa.runtime.sync": "warboy",
    "furiosa.torch": "rngd",
    "furiosa.torch.config": "rngd",
    "onnx2torch": "rngd",
    "furiosa.quantizer": "quantizer",
    "furiosa_smi": "smi",
    "furiosa_smi_py": "smi_py",
}

Parameter = tuple[str, str, bool]


def parameters(text: str) -> list[Parameter]:
    """Return name, kind and whether there is a default, of a signature as the surface has it."""
    if text.startswith("property "):
        text = text.removeprefix("property ")
    node = ast.parse(f"def f{text.replace('(self, /)', '(self)').replace(', /', '')}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    plain = node.args.args
    first = len(plain) - len(node.args.defaults)
    found = [(a.arg, "positional", n >= first) for n, a in enumerate(plain)]
    found += [(a.arg, "keyword", d is not None) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    return [p for p in found if p[0] not in ("self", "cls")]


def parameters_of(thing: object) -> list[Parameter]:
    kinds = {inspect.Parameter.KEYWORD_ONLY: "keyword"}
    return [
        (p.name, kinds.get(p.kind, "positional"), p.default is not p.empty)
        for p in inspect.signature(thing).parameters.values()
        if p.name not in ("self", "cls")
    ]


def public(module: object) -> Iterator[tuple[str, object]]:
    """Yield what a fake offers: functions, classes, and methods of classes with an underscore only where the SDK has it."""
    for name, thing in vars(module).items():
        if inspect.isfunction(thing) and thing.__module__ == module.__name__ and not name.startswith("_"):
            yield name, inspect.unwrap(thing)
        elif inspect.isclass(thing) and thing.__module__ == module.__name__ and name in ("_Backend", name.lstrip("_")):
            for method, inner in vars(thing).items():
                if isinstance(inner, property):
                    yield f"{name}.{method}", inner.fget
                elif inspect.isfunction(inner) and not method.startswith("_"):
                    yield f"{name}.{method}", inner
                elif isinstance(inner, classmethod):
                    yield f"{name}.{method}", inner.__func__


#: Names of the fakes' own that no plug-in calls.
OWN = {"Model.compute", "GraphModule.eval", "GraphModule.to"}


@pytest.mark.parametrize("name", FAKED)
def test_a_fake_has_the_signatures_of_the_sdk(name: str, fakes) -> None:
    fakes(FAKED[name])
    compared = 0
    for what, thing in public(importlib.import_module(name)):
        if what in OWN:
            continue
        assert what in SURFACE[name], f"{name} has no {what}"
        assert parameters_of(thing) == parameters(SURFACE[name][what]), what
        compared += 1
    assert compared


def test_the_members_and_settings_are_those_of_the_sdk(fakes) -> None:
    fakes("smi", "rngd")
    members = {member.name for member in importlib.import_module("furiosa_smi").ThrottleReason}
    assert members == set(SURFACE["furiosa_smi"]["ThrottleReason"].removeprefix("members: ").split())
    config = importlib.import_module("furiosa.torch.config")
    hints = SURFACE["furiosa.torch.config"]["TacticHintConfig"].removeprefix("members: ").split()
    assert {member.name for member in config.TacticHintConfig} <= set(hints)
    settings = {name for name, _, _ in parameters(SURFACE["furiosa.torch.config"]["CompilerConfig.__new__"])}
    used = {name for name, _, _ in parameters_of(config.CompilerConfig.__init__)}
    assert used and used <= settings


def test_the_comparison_sees_a_difference() -> None:
    assert parameters("(self, /, prev)") == [("prev", "positional", False)]
    assert parameters("(a, *, b=1)") == [("a", "positional", False), ("b", "keyword", True)]
    assert parameters("(a, *, b)") != parameters("(a, b)")


def chains(path: Path, roots: set[str]) -> set[str]:
    """Return the attribute chains behind ``roots``: ``sdk.config.context`` is ``config.context``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in roots and parts:
            found.add(".".join(reversed(parts)))
    return found


def test_the_plug_in_uses_what_the_sdks_have() -> None:
    used = {"sync": set(), "sdk": set(), "quantizer": set()}
    for path in SOURCES:
        for root, names in used.items():
            names |= chains(path, {root})
    torch, config = SURFACE["furiosa.torch"], SURFACE["furiosa.torch.config"]
    for name in used["sdk"] - {"__version__"}:
        first, _, rest = name.partition(".")
        if first == "config":
            rest = rest.partition(".")[0]
            assert not rest or rest in {n.partition(".")[0] for n in config}, name
        elif first == "backend":
            assert not rest or f"_Backend.{rest}" in torch, name
        else:
            assert first in torch, name
    assert {"create_runner", "create_queue"} <= used["sync"] <= {n.partition(".")[0] for n in SURFACE["furiosa.runtime.sync"]}
    assert used["quantizer"] and {n.partition(".")[0] for n in used["quantizer"]} <= {
        n.partition(".")[0] for n in SURFACE["furiosa.quantizer"]
    }


#: What ``smi.py`` calls on each binding's objects, in the module's own words.
CALLED = {
    "furiosa_smi": [
        "list_devices",
        "driver_info",
        "Device.device_name",
        "Device.arch",
        "Device.serial",
        "Device.uuid",
        "Device.bdf",
        "Device.numa_node",
        "Device.core_num",
        "Device.firmware_version",
        "Device.power_consumption",
        "Device.device_temperature",
        "Device.core_frequency",
        "Device.throttle_reason",
        "DeviceTemperature.soc_peak",
        "Bdf.domain",
        "Bdf.bus",
        "Bdf.device",
        "Bdf.function",
        "VersionInfo.major",
        "VersionInfo.minor",
        "VersionInfo.patch",
        "ThrottleReason.Idle",
        "ThrottleReason.Unknown",
        "Arch.Rngd",
    ],
    "furiosa_smi_py": [
        "init",
        "list_devices",
        "driver_info",
        "Device.device_info",
        "DeviceInfo.name",
        "DeviceInfo.arch",
        "DeviceInfo.serial",
        "DeviceInfo.uuid",
        "DeviceInfo.bdf",
        "DeviceInfo.numa_node",
        "DeviceInfo.core_num",
        "DeviceInfo.firmware_version",
        "Device.power_consumption",
        "Device.device_temperature",
        "Device.core_frequency",
        "CoreFrequency.pe_frequency",
        "PeFrequency.frequency",
        "Device.throttle_reason",
        "DeviceTemperature.soc_peak",
        "VersionInfo.major",
        "VersionInfo.minor",
        "VersionInfo.patch",
        "THROTTLE_REASON_IDLE",
        "Arch.Warboy",
        "Arch.Rngd",
    ],
}


def test_the_list_of_calls_is_what_the_source_calls() -> None:
    source = next(path for path in SOURCES if path.name == "smi.py").read_text(encoding="utf-8")
    methods = {name.rpartition(".")[2] for names in CALLED.values() for name in names} - {"Warboy", "Rngd"}
    assert {name for name in methods if name not in source} == set()
    roots = {"about", "module", "value", "device", "found", "core", "reasons"}
    used = {chain.split(".")[-1] for chain in chains(Path(SOURCES[0].parent / "smi.py"), roots)}
    assert used - methods - {"values", "setdefault"} == set()


ASK = """
import importlib, json, sys
from npubench_furiosa import smi
names = json.loads(sys.argv[1])
missing = []
for module, wanted in names.items():
    here = importlib.import_module(module)
    for name in wanted:
        thing = here
        for part in name.split("."):
            thing = getattr(thing, part, None)
        if thing is None:
            missing.append(f"{module}.{name}")
found = smi.listing()
kinds = {str(importlib.import_module(module).Arch.Rngd).lower() for module in names}
errors = []
for module in names:
    try:
        importlib.import_module(module).driver_info()
    except Exception as error:
        errors.append(type(error).__name__)
said = {"missing": missing, "handles": len(found.handles), "versions": dict(found.versions), "complaint": found.complaint}
print("\\n" + json.dumps({**said, "installed": found.installed, "kinds": sorted(kinds), "errors": errors}))
"""


def test_the_real_smi_wheels_have_every_name_and_list_nothing_here(smi_python: Path) -> None:
    """Proves names, and the real path without a device; proves no reading."""
    done = subprocess.run([smi_python, "-c", ASK, json.dumps(CALLED)], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["missing"] == []
    if seen["handles"]:
        pytest.skip("this machine has a Furiosa card: the path without a device cannot be walked")
    assert seen == {
        "missing": [],
        "handles": 0,
        "versions": {"furiosa_smi": "2026.4.0", "furiosa_smi_py": "2026.1.2"},
        "complaint": "",
        "installed": True,
        "kinds": ["rngd"],
        "errors": ["DeviceNotFoundError", "RuntimeError"],
    }


def test_importing_the_plug_in_imports_no_sdk() -> None:
    code = "import sys, npubench_furiosa; print({m.split('.')[0] for m in sys.modules} & {'torch', 'furiosa', 'onnx'})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize("options", [npubench_furiosa.RngdOptions, npubench_furiosa.WarboyOptions])
def test_the_readme_has_every_option_with_its_default(options: type) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(options):
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
        shown = f"`{default}`" if default != "" else ""
        assert f"| `{field.name}` | {shown}".rstrip() + " |" in readme, field.name
