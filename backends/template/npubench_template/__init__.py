"""The npubench backend for template: ONNX Runtime on the CPU, until your runtime stands in the lines marked ``SDK``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, Tensors, TensorSpec, WrongArtefact


class TemplateBackend(Backend):
    """What is here, and how an artefact is loaded."""

    def probe(self) -> Availability:
        """Say how far this machine is from running, and how to get further."""
        if find_spec("onnxruntime") is None:  # SDK
            return Availability(Rung.NOT_INSTALLED, "onnxruntime is not installed", "pip install onnxruntime")
        try:
            sdk = import_module("onnxruntime")  # SDK
        except Exception as error:
            return Availability(Rung.SDK_BROKEN, f"onnxruntime cannot be imported: {error}", "install it again")
        # SDK: driver_loaded and pci_cards of npubench.contract say whether it is DRIVER_MISSING or NO_DEVICE. The CPU stands in
        # for your chip and is SIMULATED, so that it is never ranked; a chip is called "npu:0", say, and is not simulated.
        device = Device("cpu", kind="CPU in place of a chip", simulated=True)
        return Availability(Rung.READY, versions={"onnxruntime": str(sdk.__version__)}, devices=(device,))

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load an artefact: without a ``compile`` of your own, the workload's ONNX file."""
        sdk = import_module("onnxruntime")  # SDK: from here to the end
        try:
            return TemplateExecutor(sdk.InferenceSession(str(artefact.path)))
        except Exception as error:
            raise WrongArtefact(f"ONNX Runtime cannot load it: {error}; hand in an .onnx file") from error


class TemplateExecutor(Executor):
    """A model that is loaded and ready."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = [_spec(tensor) for tensor in session.get_inputs()]
        self.outputs = [_spec(tensor) for tensor in session.get_outputs()]

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request. What is returned is the caller's: copy a buffer that the runtime uses again."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def close(self) -> None:
        """Release the device."""
        self._session = None


def _spec(tensor: Any) -> TensorSpec:
    word = tensor.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(n if isinstance(n, int) else None for n in tensor.shape)
    return TensorSpec(tensor.name, {"float": "float32", "double": "float64"}.get(word, word), shape)
