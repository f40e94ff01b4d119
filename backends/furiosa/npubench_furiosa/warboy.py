"""Warboy as a backend: ``furiosa.runtime.sync`` of SDK 0.10, which compiles ONNX as a session opens and runs ``.enf``."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

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
    WrongArtefact,
)
from npubench_furiosa import smi, telemetry
from npubench_furiosa.cards import kernel_cards, missing_card
from npubench_furiosa.warboy_compiler import command_version, compile_enf, open_once, quantised
from npubench_furiosa.warboy_executor import QueueExecutor, RunnerExecutor

SYNC = "furiosa.runtime.sync"

#: The libraries of the driver package; the runtime's import dies on the first with these words where they are missing.
_DRIVER_WORDS = ("libfuriosa_hal", "libhal")

_FAMILY = "warboy"
_FOLDER = "npu_mgmt"
_GET_SDK = "install it into a Python of its own (3.10 or 3.11): pip install 'npubench-furiosa[warboy]'"
_GET_DRIVER = (
    "install the vendor's driver and HAL packages (apt: furiosa-driver-warboy, furiosa-libhal-warboy), then see whether "
    "/sys/class/npu_mgmt lists the card"
)


@dataclass(frozen=True, slots=True)
class WarboyOptions:
    """Options of a Warboy session.

    Args:
        pe: The processing elements of the card: ``0-1`` = both fused into one, ``0`` or ``1`` = a single one.
        devices: The SDK's own device string, such as ``"warboy(1)*2"``, instead of the target's card and ``pe``.
        worker_num: Worker threads of the runtime; ``0`` = the runtime's choice.
        batch_size: The batch an ONNX file is compiled for; an ``.enf`` has its own.
        asynchronous: Use the runtime's queue (``create_queue``) instead of a runner.
        queue_size: How many requests the queue holds at once.
        streams: How many requests may be in the runner at once.
        calibration_method: ``furiosa.quantizer.CalibrationMethod`` for the precision ``vendor``.
        percentage: What the percentile methods keep, %.
        compiler_config: Passed to the compiler in the runtime as it is.
        quantisation: Input or output name → (scale, zero point) for integer tensors: an ``.enf`` does not carry them.
    """

    pe: Literal["0-1", "0", "1"] = "0-1"
    devices: str = ""
    worker_num: int = 0
    batch_size: int = 1
    asynchronous: bool = False
    queue_size: int = 8
    streams: int = 1
    calibration_method: str = "MIN_MAX_ASYM"
    percentage: float = 99.99
    compiler_config: dict[str, bool | int | float | str] = field(default_factory=dict)
    quantisation: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("batch_size", "queue_size", "streams"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is less than 1")
        for name, pair in self.quantisation.items():
            if len(pair) != 2 or pair[0] <= 0 or pair[1] != int(pair[1]):
                raise ValueError(f"quantisation of '{name}' is {list(pair)}, not [scale above 0, whole zero point]")


class WarboyBackend(Backend):
    """FuriosaAI Warboy, the first generation."""

    Options: ClassVar[type] = WarboyOptions

    def probe(self) -> Availability:
        """Import the runtime, then look for cards where the kernel and the SMI list them."""
        listed = smi.listing()
        cards = kernel_cards(_FOLDER, "Warboy") or listed.cards(warboy=True)
        loaded, missing = (True, "") if cards else missing_card(_FOLDER, "npu[0-9]*", "Warboy")
        versions = {**runtime_versions(), **listed.versions}
        try:
            sync = importlib.import_module(SYNC)
        except ModuleNotFoundError as error:
            if error.name in ("furiosa", "furiosa.runtime"):
                return Availability(Rung.NOT_INSTALLED, "furiosa-runtime is not installed", _GET_SDK)
            if error.name == SYNC:
                # furiosa-runtime[legacy], or a release before 0.10.
                return Availability(Rung.SDK_BROKEN, f"furiosa-runtime has no {SYNC}: {error}", _GET_SDK, versions)
            return Availability(Rung.SDK_BROKEN, f"furiosa-runtime cannot be imported: {error}", _GET_SDK, versions)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if any(word in words for word in _DRIVER_WORDS):
                also = missing or f"the cards are there: {', '.join(card.name for card in cards)}"
                reason = f"furiosa-runtime finds no driver library ({words}); {also}"
                return Availability(Rung.DRIVER_MISSING, reason, _GET_DRIVER, versions)
            return Availability(Rung.SDK_BROKEN, f"furiosa-runtime cannot be imported: {words}", _GET_SDK, versions)
        if not hasattr(sync, "create_runner"):
            reason = "furiosa.runtime.sync has no create_runner: furiosa-native-runtime is of another generation than 0.10"
            return Availability(Rung.SDK_BROKEN, reason, "pip install 'furiosa-native-runtime==0.10.*'", versions)
        if not cards:
            rung = Rung.NO_DEVICE if loaded else Rung.DRIVER_MISSING
            advice = "plug in a Warboy, or pass it through to this machine" if loaded else _GET_DRIVER
            return Availability(rung, missing, advice, versions)
        devices = tuple(card.device(_FAMILY, n) for n, card in enumerate(cards))
        return Availability(Rung.READY, versions=versions, devices=devices)

    def supports(self, model: Model, device: Device) -> Support:
        """Say that Warboy computes int8: what it cannot do, its runtime computes on the host without saying so."""
        if model.precision in ("int8", "vendor"):
            return Support(True)
        return Support(
            False,
            f"Warboy computes int8; its runtime would compute a {model.precision} graph on the host CPU. "
            "Ask for the precision int8, or vendor for the SDK's own quantiser; an .enf handed in is measured as one of them",
        )

    def compile(self, model: Model, device: Device, options: WarboyOptions, work: Path) -> Artefact:
        """Quantise where asked, then compile with ``furiosa-compiler`` if it is there, else in a session that is closed again.

        Raises:
            Unsupported: The quantiser is missing, or a compiler refuses the model.
        """
        path = (
            quantised(model, options.calibration_method, options.percentage, work) if model.precision == "vendor" else model.path
        )
        if shutil.which("furiosa-compiler"):
            return compile_enf(path, work / "model.enf", options.batch_size, options.pe == "0-1")
        open_once(path, lambda: _session_arguments(device, options, enf=False))
        # Kept in the cache, so that the session that only tries is opened once a model and not once a run.
        kept = path if path != model.path else Path(shutil.copyfile(path, work / "model.onnx"))
        notes = {
            "compiled by": "the runtime, whenever a session opens: furiosa-compiler is not installed",
            "quantised by": f"furiosa.quantizer, {options.calibration_method}" if path != model.path else "the workload",
        }
        return Artefact(kept, "onnx", _runtime_name(), notes=notes)

    def compile_key(self, device: Device, options: WarboyOptions) -> str:
        """Return what decides the artefact: PEs, batch, calibration, and the versions of everything that compiles."""
        return repr(
            (
                options.pe,
                options.devices,
                options.batch_size,
                options.calibration_method,
                options.percentage,
                sorted(options.compiler_config.items()),
                sorted(runtime_versions().items()),
                command_version(),
            )
        )

    def load(self, artefact: Artefact, device: Device, options: WarboyOptions) -> Executor:
        """Open a session on one card.

        Raises:
            WrongArtefact: It is neither ONNX, TFLite nor an ``.enf`` that this runtime takes.
        """
        form = _form(artefact)
        sync = importlib.import_module(SYNC)
        arguments = _session_arguments(device, options, enf=form == "enf")
        executor = QueueExecutor if options.asynchronous else RunnerExecutor
        try:
            return executor(sync, artefact, arguments, options)
        except sync.FuriosaRuntimeError as error:
            if artefact.ready and _is_of_another_compiler(str(error)):
                here = ", ".join(f"{name} {version}" for name, version in runtime_versions().items()) or "no version"
                raise WrongArtefact(
                    f"the runtime does not take this .{form} ({type(error).__name__}: {error}); here is {here}; compile it "
                    "with the furiosa-compiler of that release, or leave the artefact out"
                ) from error
            raise

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return what ``furiosa_smi_py`` reads of a Warboy, if it lists it; none otherwise."""
        return telemetry.sensors(device)


def runtime_versions() -> dict[str, str]:
    """Return versions of the SDK's distributions, without importing them."""
    found = {}
    for name in ("furiosa-runtime", "furiosa-native-runtime", "furiosa-quantizer"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _runtime_name() -> str:
    versions = runtime_versions()
    return f"furiosa-native-runtime {versions['furiosa-native-runtime']}" if "furiosa-native-runtime" in versions else ""


def _session_arguments(device: Device, options: WarboyOptions, enf: bool) -> dict[str, Any]:
    """Return the keyword arguments that ``create_runner`` and ``create_queue`` share.

    A device string names the card, since ``warboy(2)*1`` means any card: ``npu:0:0-1`` is both PEs of card 0.
    """
    number = device.details.get("card", "").removeprefix("npu") or device.name.partition(":")[2]
    arguments: dict[str, Any] = {"device": options.devices or f"npu:{number}:{options.pe}"}
    if options.worker_num:
        arguments["worker_num"] = options.worker_num
    if not enf:
        arguments["batch_size"] = options.batch_size
        if options.compiler_config:
            arguments["compiler_config"] = dict(options.compiler_config)
    return arguments


def _form(artefact: Artefact) -> str:
    """Return what kind of file it is; raise WrongArtefact for what the runtime does not take."""
    kinds = ("enf", "onnx", "tflite", "dfg")
    form = artefact.path.suffix.lstrip(".").lower() or artefact.format
    if not artefact.path.is_file() or form not in kinds:
        what = "a folder" if artefact.path.is_dir() else f"'.{form}'"
        raise WrongArtefact(f"it is {what}; Warboy takes one file: {', '.join('.' + kind for kind in kinds)}")
    return form


def _is_of_another_compiler(words: str) -> bool:
    """Return whether the runtime's words are about the file and not about the device."""
    return any(part in words.lower() for part in ("incompatible", "version", "enf", "format", "invalid value"))
