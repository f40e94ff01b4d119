"""From an ONNX file to a module that runs on an RNGD; used by the child that tries it and by the executor that keeps it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract import TensorSpec
from npubench_furiosa.tensors import Array

#: Node kinds of ``torch.fx`` that compute.
_COMPUTES = ("call_function", "call_method", "call_module")


def convert(path: Path) -> tuple[Any, int | None]:
    """Return the ONNX file as a torch module, and how many operators it has; ``None`` where the module does not say.

    Raises:
        ModuleNotFoundError: onnx2torch, or a part of it, is not installed; the text says how to get it.
    """
    try:
        importer = importlib.import_module("onnx2torch")
    except ModuleNotFoundError as error:
        text = f"{error}: the SDK has no ONNX importer, onnx2torch stands in for it: pip install 'onnx2torch>=1.5.15,<2'"
        raise ModuleNotFoundError(text, name=error.name) from error
    module = importer.convert(str(path))
    nodes = getattr(getattr(module, "graph", None), "nodes", None)
    return module, None if nodes is None else sum(1 for node in nodes if node.op in _COMPUTES)


def place(module: Any, device: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Put ``module`` on ``device`` and wrap it in ``torch.compile``; nothing is compiled before the first call.

    Args:
        module: A torch module.
        device: Such as ``"furiosa:0"``.
        options: The fields of ``RngdOptions``.
    """
    torch, sdk = importlib.import_module("torch"), importlib.import_module("furiosa.torch")
    if options["fusion"]:
        _fuse(sdk, options["fusion"])
    hints = sdk.config.TacticHintConfig
    if not hasattr(hints, options["tactic_hint"]):
        names = [name for name in dir(hints) if name[:1].isupper()]
        raise ValueError(f"tactic_hint '{options['tactic_hint']}' is not one of {', '.join(names)}")
    settings: dict[str, Any] = {"tactic_hint": getattr(hints, options["tactic_hint"])}
    if options["dtype"] == "float32":
        # FP32 means FP32: what a compiler casts on its own is another precision.
        settings |= {"implicit_type_casting": False, "implicit_type_casting_all_activation": False}
    sdk.config.set_cpu_fallback(options["allow_host_operators"])
    backend = sdk.backend.with_config(sdk.config.CompilerConfig(**settings), eager_fallback=options["allow_host_operators"])
    on_device = module.eval().to(getattr(torch, options["dtype"])).to(device)
    compiled: Callable[..., Any] = torch.compile(on_device, backend=backend, fullgraph=True, dynamic=False)
    return compiled


def call(compiled: Callable[..., Any], arrays: Sequence[Array], device: str, dtype: str) -> list[Array]:
    """Call the module with host arrays and return host arrays; bfloat16, which numpy has not, comes back as float32."""
    torch = importlib.import_module("torch")
    floating = getattr(torch, dtype)
    with torch.no_grad():
        tensors = []
        for array in arrays:
            # Copied: torch warns of arrays that are read-only, and must not see them change while it works.
            tensor = torch.as_tensor(array.copy())
            tensors.append((tensor.to(floating) if array.dtype.kind == "f" else tensor).to(device))
        found = compiled(*tensors)
        outputs = found if isinstance(found, list | tuple) else (found,)
        return [_to_host(torch, output) for output in outputs]


def first_call(
    compiled: Callable[..., Any], specs: Sequence[TensorSpec], batch: int, device: str, options: Mapping[str, Any], cache: Path
) -> list[Array]:
    """Make the call that compiles, with ones, the compiler's cache in ``cache``; returns the outputs.

    Raises:
        ValueError: An output is not finite.
    """
    sdk = importlib.import_module("furiosa.torch")
    arrays = [np.ones((batch, *(n or 1 for n in spec.shape[1:])), spec.dtype) for spec in specs]
    with sdk.config.context(cache_dir=str(cache)):
        outputs = call(compiled, arrays, device, options["dtype"])
    for n, output in enumerate(outputs):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise ValueError(f"output {n} of the first call, with ones for inputs, is not finite")
    return outputs


def _fuse(sdk: Any, fusion: int) -> None:
    """Fuse PEs, which a process can do once."""
    try:
        sdk.set_fusion(fusion)
    except Exception as error:
        if sdk.get_fusion().num_fusion != fusion:
            raise RuntimeError(
                f"fusion = {fusion} cannot be set: this process has fused {sdk.get_fusion().num_fusion} PEs already, and the SDK "
                f"does so once a process ({type(error).__name__}: {error})"
            ) from error


def _to_host(torch: Any, output: Any) -> Array:
    tensor = output.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.numpy()
    return array
