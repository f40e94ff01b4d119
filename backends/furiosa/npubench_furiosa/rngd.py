"""RNGD as a backend: an ONNX file becomes a torch module, and ``torch.compile`` hands it to ``furiosa.torch``.

The SDK has no ONNX importer, answers ``is_available()`` with True where there is no card, compiles at the first call, and
ends the process where its compiler fails. So presence comes from the SMI, and a child process compiles first.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    Rung,
    Sensor,
    Support,
    Unsupported,
)
from npubench_furiosa import smi, telemetry
from npubench_furiosa.cards import Card, kernel_cards, missing_card
from npubench_furiosa.rngd_artefact import check_facts, compile_folder, read_facts
from npubench_furiosa.rngd_executor import RngdExecutor

SDK = "furiosa.torch"

_FAMILY = "rngd"
_FOLDER = "rngd_mgmt"
_GET_SDK = "install it into a Python of its own: pip install 'npubench-furiosa[rngd]' (torch comes along, some GB)"
_GET_DRIVER = (
    "install the vendor's driver package (apt: furiosa-driver-rngd), then see whether furiosa-smi or /sys/class/rngd_mgmt "
    "lists the card"
)

#: PEs of a card; torch counts logical devices, which are ``fusion`` PEs each.
PES = 8


@dataclass(frozen=True, slots=True)
class RngdOptions:
    """Options of an RNGD.

    Args:
        fusion: PEs that work as one logical device, once a process; ``0`` = what the SDK does without being told. 16 and 32,
            which span cards, are left out: the power of a run is that of one card.
        pe: Which logical device of the card: ``0`` … ``8 / fusion - 1``.
        dtype: What the module computes in. ``bfloat16`` goes with the precision ``vendor``, ``float32`` with ``fp32``.
        batch: The batch the module is compiled for; smaller requests are filled up.
        tactic_hint: ``furiosa.torch.config.TacticHintConfig``.
        allow_host_operators: Let the SDK compute what it cannot compile operator by operator, on the host where it must.
    """

    fusion: Literal[0, 1, 2, 4, 8] = 0
    pe: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch: int = 1
    tactic_hint: str = "Default"
    allow_host_operators: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch = {self.batch} is less than 1")
        if not 0 <= self.pe < PES // (self.fusion or 1):
            raise ValueError(f"pe = {self.pe} is not within 0…{PES // (self.fusion or 1) - 1} with fusion = {self.fusion}")


class FuriosaBackend(Backend):
    """FuriosaAI RNGD, the second generation, through torch."""

    Options: ClassVar[type] = RngdOptions

    def probe(self) -> Availability:
        """Import the SDK, then look for cards where the SMI or the kernel lists them."""
        try:
            torch = importlib.import_module("torch")
            sdk = importlib.import_module(SDK)
        except ModuleNotFoundError as error:
            return _not_imported(error)
        except Exception as error:
            reason = f"{SDK} cannot be imported: {type(error).__name__}: {error}"
            advice = "see whether another package claims torch's PrivateUse1 backend too, and keep them in Pythons of their own"
            return Availability(Rung.SDK_BROKEN, reason, advice)
        if not hasattr(sdk, "backend"):
            return Availability(Rung.SDK_BROKEN, f"{SDK} has no backend for torch.compile: it is another release", _GET_SDK)
        listed = smi.listing()
        versions = {**sdk_versions(), "torch": str(torch.__version__), **listed.versions}
        cards = listed.cards(warboy=False) or kernel_cards(_FOLDER, "RNGD")
        if cards:
            return Availability(Rung.READY, versions=versions, devices=_devices(cards))
        loaded, missing = missing_card(_FOLDER, "rngd*", "RNGD")
        if listed.complaint:
            missing += f"; {listed.complaint}"
        if loaded:
            return Availability(Rung.NO_DEVICE, missing, "plug in an RNGD, or pass it through to this machine", versions)
        return Availability(Rung.DRIVER_MISSING, missing, _GET_DRIVER, versions)

    def supports(self, model: Model, device: Device) -> Support:
        """Say that the way through torch takes float graphs: there is no quantiser on it."""
        free = [spec.name for spec in model.inputs if None in spec.shape[1:]]
        if free:
            return Support(False, f"furiosa.torch compiles fixed shapes, and input '{free[0]}' has a free axis beside the batch")
        if model.precision in ("fp32", "vendor"):
            return Support(True)
        return Support(
            False, f'furiosa.torch has no importer for {model.precision} graphs; ask for fp32, or vendor with dtype = "bfloat16"'
        )

    def compile(self, model: Model, device: Device, options: RngdOptions, work: Path) -> Artefact:
        """Compile in a child process and keep the compiler's cache with the model, so that loading finds it compiled.

        Raises:
            Unsupported: onnx2torch or the compiler refuses the model, or the compiler ends the process.
        """
        wanted = "bfloat16" if model.precision == "vendor" else "float32"
        if options.dtype != wanted:
            raise Unsupported(
                f'the precision {model.precision} is computed in {wanted}, and the target asks for dtype = "{options.dtype}"; '
                "fp32 means float32, and bfloat16 is measured as the precision vendor"
            )
        return compile_folder(model, device, asdict(options), torch_device(device, options), sdk_versions(), work)

    def compile_key(self, device: Device, options: RngdOptions) -> str:
        """Return what decides the artefact: the options but ``pe``, which only says where it runs, and all versions."""
        matters = {name: value for name, value in asdict(options).items() if name != "pe"}
        return repr((sorted(matters.items()), sorted(sdk_versions().items())))

    def load(self, artefact: Artefact, device: Device, options: RngdOptions) -> Executor:
        """Open the module on the card and call it once: that is when ``furiosa.torch`` compiles, or finds it compiled.

        Raises:
            WrongArtefact: It is no folder of this plug-in, or made for other options or another release.
        """
        facts = read_facts(artefact)
        check_facts(facts, asdict(options), device.kind, sdk_versions())
        return RngdExecutor(artefact.path, facts, torch_device(device, options), asdict(options))

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return power, temperature, clock and throttling of the whole card."""
        return telemetry.sensors(device)


def torch_device(device: Device, options: RngdOptions) -> str:
    """Return ``furiosa:N``: torch counts logical devices densely over the cards that are present, in the driver's order."""
    card = int(device.name.partition(":")[2])
    return f"furiosa:{card * (PES // (options.fusion or 1)) + options.pe}"


def sdk_versions() -> dict[str, str]:
    """Return versions of all that has a part in compiling, without importing it."""
    found = {}
    for name in ("furiosa-torch", "furiosa-kernels", "onnx2torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _devices(cards: Sequence[Card]) -> tuple[Device, ...]:
    return tuple(card.device(_FAMILY, n) for n, card in enumerate(cards))


def _not_imported(error: ModuleNotFoundError) -> Availability:
    """Tell an SDK that is not there from one that lacks a part."""
    if error.name in ("furiosa", SDK):
        return Availability(Rung.NOT_INSTALLED, "furiosa-torch is not installed", _GET_SDK)
    if error.name == "torch":
        try:
            metadata.version("furiosa-torch")
        except metadata.PackageNotFoundError:
            return Availability(Rung.NOT_INSTALLED, "furiosa-torch is not installed, nor is torch", _GET_SDK)
    return Availability(Rung.SDK_BROKEN, f"{SDK} cannot be imported: {error}", _GET_SDK)
