"""Open a session on one device, and prove from the graph's assignment that the device is what runs the model.

ONNX Runtime leaves to its CPU provider whatever the wanted one does not take: an operator it does not know, and all of them
where its library does not load. ``session.get_providers()`` shows neither; the assignment does.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, Offload, Unsupported, WrongArtefact
from npubench_onnxruntime.devices import CPU, CUDA, TENSORRT
from npubench_onnxruntime.options import SessionOptions
from npubench_onnxruntime.plugins import compiled_in, ep_device

_LEVELS = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}
#: ONNX Runtime's log levels run from 0, verbose, to 4, fatal.
_LOG_ERRORS = 3
#: How a strict session says that the provider does not run everything (its class, ``Fail``, says anything).
_REFUSAL = "fallback to CPU EP has been explicitly disabled"
#: Its class where a provider has no kernel for an operator of that type.
_NO_KERNEL = "NotImplemented"
#: Classes and words of its errors where the file is what is wrong.
_NO_MODEL = ("InvalidProtobuf", "NoSuchFile", "NoModel", "InvalidGraph")
_NEWER_MODEL = ("model IR version", "is under development", "opset")
#: How many operator types a sentence names.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Placed:
    """A session with its account of who runs what.

    Args:
        session: The ``InferenceSession``.
        provider: The provider that was asked for.
        operators: Provider → operator type → how many; ``None`` where the build keeps no account.
    """

    session: Any
    provider: str
    operators: dict[str, Counter[str]] | None

    def offload(self) -> Offload | None:
        """Return the account as the contract has it. What TensorRT leaves to CUDA runs on the same GPU."""
        if self.operators is None:
            return None
        device = {self.provider, CUDA} if self.provider == TENSORRT else {self.provider}
        host = {name: types for name, types in self.operators.items() if name not in device}
        on_host = sum(sum(types.values()) for types in host.values())
        total = sum(sum(types.values()) for types in self.operators.values())
        return Offload(
            total - on_host, on_host, "ORT graph assignment", tuple(sorted({t for types in host.values() for t in types}))
        )


def open_session(artefact: Artefact, device: Device, options: SessionOptions, trace: str = "") -> Placed:
    """Open a session whose operators run on ``device``.

    Args:
        artefact: The model.
        device: One of those that were found.
        options: The target's.
        trace: What the file begins with that ONNX Runtime's profiler writes; "" = it is off. With it, operators run one after
            the other whatever the options say: side by side, their times would overlap and count twice.

    Raises:
        WrongArtefact: The file is no model that this ONNX Runtime reads.
        Unsupported: The provider takes none of the operators, or not all of them without ``allow_host_operators``; or no
            provider has a kernel for one.
        RuntimeError: The provider's library does not load.
    """
    ort = importlib.import_module("onnxruntime")
    provider = device.details.get("provider", device.kind)
    if provider in (CUDA, TENSORRT) and hasattr(ort, "preload_dlls"):
        # Finds CUDA and cuDNN where wheels of NVIDIA's brought them.
        ort.preload_dlls()
    strict = provider != CPU and not options.allow_host_operators
    try:
        placed = _open(ort, artefact, device, provider, options, strict, trace)
    except Exception as error:
        if strict and _REFUSAL in str(error):
            placed = _open(ort, artefact, device, provider, options, False)
            _prove(ort, placed)
            raise Unsupported(_refused(placed)) from error
        told = _translated(ort, error, provider)
        if told is None:
            raise
        raise told from error
    _prove(ort, placed)
    return placed


def _open(
    ort: Any, artefact: Artefact, device: Device, provider: str, options: SessionOptions, strict: bool, trace: str = ""
) -> Placed:
    settings = ort.SessionOptions()
    if trace:
        settings.enable_profiling = True
        settings.profile_file_prefix = trace
    settings.intra_op_num_threads = options.threads or _allowed_cores()
    settings.inter_op_num_threads = options.inter_threads
    parallel = options.parallel and not trace
    settings.execution_mode = ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options.graph])
    settings.log_severity_level = _LOG_ERRORS
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spin else "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if strict:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    chosen: dict[str, Any] = {}
    if "library" in device.details:
        settings.add_provider_for_devices([ep_device(ort, device)], dict(options.provider_options))
    else:
        chosen["providers"] = _providers(ort, provider, device, options, strict)
    # Unasked, the Python layer opens the session again on the CPU when a provider fails, at load and in the middle of a run.
    session = ort.InferenceSession(str(artefact.path), settings, enable_fallback=0, **chosen)
    return Placed(session, provider, _account(session))


#: The CUDA provider multiplies FP32 in TF32, of ten mantissa bits, unless it is told not to; what is said to be FP32 is FP32.
_EXACT = {"use_tf32": "0"}


def _providers(ort: Any, provider: str, device: Device, options: SessionOptions, strict: bool) -> list[Any]:
    """Return the providers of a session in the order of preference, each with its options."""
    number = {"device_id": device.details["device_id"]} if "device_id" in device.details else {}
    own = _EXACT if provider == CUDA else {}
    providers: list[Any] = [(provider, {**number, **own, **options.provider_options})]
    if provider == TENSORRT and CUDA in compiled_in(ort):
        providers.append((CUDA, {**number, **_EXACT}))
    if provider != CPU and not strict:
        providers.append(CPU)
    return providers


def _account(session: Any) -> dict[str, Counter[str]] | None:
    """Return who runs what, as the session recorded it while it split the graph."""
    assignment = getattr(session, "get_provider_graph_assignment_info", None)
    if assignment is None:
        return None
    operators: dict[str, Counter[str]] = {}
    for part in assignment():
        operators.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return operators


def _prove(ort: Any, placed: Placed) -> None:
    """Refuse a session in which the provider that was asked for has no part.

    Raises:
        RuntimeError: The session is without the provider: its library did not load.
        Unsupported: It registers, and runs nothing.
    """
    provider = placed.provider
    if provider not in placed.session.get_providers():
        raise RuntimeError(
            f"onnxruntime {ort.__version__} opens the session without {provider}: {_why_not_loaded(ort, provider)}"
        )
    if provider != CPU and placed.operators is not None and not placed.operators.get(provider):
        total = sum(sum(types.values()) for types in placed.operators.values())
        others = " and ".join(sorted(placed.operators)) or "nobody"
        raise Unsupported(
            f"{provider} registers and runs none of the {total} operators of this model: {others} would run them, "
            f"and the figures would be of {others}"
        )


def _refused(placed: Placed) -> str:
    """Say what a strict session is refused for, from the account of one that is not."""
    account = placed.offload()
    if account is None:
        return (
            f"{placed.provider} does not run every operator of this model; set allow_host_operators = true to measure it anyway"
        )
    types = ", ".join(account.host_types[:_NAMED]) + (", …" if len(account.host_types) > _NAMED else "")
    return (
        f"{placed.provider} runs {account.device_operators} of the {account.device_operators + account.host_operators} operators "
        f"of this model and leaves {types} to the host CPU; "
        f"set allow_host_operators = true to measure that, labelled, never ranked"
    )


def _why_not_loaded(ort: Any, provider: str) -> str:
    """Return the loader's own words on a provider's library, which ONNX Runtime writes into its log alone."""
    stem = provider.removesuffix("ExecutionProvider").lower()
    folder = Path(ort.__file__).parent / "capi"
    library = folder / f"libonnxruntime_providers_{stem}.so"
    if not library.is_file():
        return "its library is not part of this build; see the worker's log"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return f"{error}; install what that library belongs to (CUDA, cuDNN or TensorRT) in the versions this build was made for"
    return "its library loads, and the provider refuses to start; see the worker's log"


def _translated(ort: Any, error: Exception, provider: str) -> Exception | None:
    """Return what a user can act on for an error of ``InferenceSession``; ``None`` where its own words are the best."""
    text = " ".join(str(error).split())
    if type(error).__name__ == _NO_KERNEL:
        return Unsupported(text)
    if type(error).__name__ in _NO_MODEL or any(words in text for words in _NEWER_MODEL):
        return WrongArtefact(
            f"onnxruntime {ort.__version__} cannot read it: {text}; hand in an .onnx or .ort file that this version knows"
        )
    if provider in (CUDA, TENSORRT) and isinstance(error, RuntimeError):
        return RuntimeError(f"onnxruntime {ort.__version__} cannot start {provider}: {_why_not_loaded(ort, provider)}")
    return None


def _allowed_cores() -> int:
    """Return the cores this process is confined to, or 0 (ORT's own choice: one thread a physical core) where it is not.

    ORT counts the machine's cores whatever the affinity, and threads that share a core wait for one another.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    allowed = len(os.sched_getaffinity(0))
    return allowed if allowed < (os.cpu_count() or allowed) else 0
