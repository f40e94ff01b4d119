"""Put an MXQ on a device, in the order that worked on ARIES, and say clearly what does not fit.

ModelConfig → core mode → single bundle → activation slots → asynchronous pipeline → Accelerator → Model → launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, WrongArtefact
from npubench_mobilint.options import MobilintOptions
from npubench_mobilint.sdk import FIRST_SOUND_ASYNC, Runtime, code_of, family_of, version_numbers, words_of

#: Codes of the runtime for a file that is no MXQ, is damaged, or is of a format that this runtime does not know.
UNREADABLE = ("Model_FailedToLoadMXQ", "Model_BrokenMXQ", "Model_FailedToOpenModelDescFile", "Model_FailedToOpenSectionBinary")
#: For a core mode that the MXQ was not compiled for, and for ``auto`` where it was compiled for several.
OTHER_MODE = ("Model_MXQAndModelConfigNotMatch", "Model_NoGlobalCoreWithGlobalMultiMode", "Model_NoTargetCores")
#: For another chip.
OTHER_CHIP = ("Model_IsNotSupportedHardware",)


@dataclass
class Session:
    """A launched model, with what belongs to it.

    Args:
        runtime: The imported runtime.
        model: The launched model.
        slots: How many requests it holds at once.
        forced: Whether the runtime confirms that it runs a single bundle, without operators on the host.
    """

    runtime: Runtime
    model: Any
    slots: int
    forced: bool


def open_session(runtime: Runtime, artefact: Artefact, device: Device, options: MobilintOptions) -> Session:
    """Configure, open and launch.

    Raises:
        WrongArtefact: The file is no MXQ, or one for another chip or core mode.
        RuntimeError: The runtime refuses a setting, or is too old for it.
        Exception: Whatever else the runtime raises.
    """
    module = runtime.module
    config, slots, forced = configure(runtime, options)
    name, number = device.details.get("runtime name", family_of(device.kind)), int(device.details.get("number", 0))
    # Only a runtime that lists devices takes a device's name; older ones take the number alone.
    named = hasattr(module, "get_available_devices")
    accelerator = module.Accelerator(name, number) if named else module.Accelerator(number)
    model = open_model(runtime, artefact.path, config, options)
    try:
        check_chip(model, accelerator, name, runtime)
        _launch(model, accelerator, name, runtime)
        _check_cores(model, module, options)
    except BaseException:
        # The first error is the one to tell.
        with contextlib.suppress(Exception):
            model.dispose()
        raise
    return Session(runtime, model, slots, forced)


def configure(runtime: Runtime, options: MobilintOptions) -> tuple[Any, int, bool]:
    """Return a ModelConfig as the options say, its requests in flight, and whether a single bundle is confirmed.

    Raises:
        RuntimeError: The runtime refuses a setting, or lacks it; nothing is put up with in silence.
    """
    config = runtime.module.ModelConfig()
    if _set_core_mode(runtime.module, config, options) is False:
        raise RuntimeError(f"{runtime.words} refuses core_mode = '{options.core_mode}' with these cores or clusters")
    forced = False
    if not options.allow_host_operators:
        # The getter is annotated bool and returns an int; False would equal 0.
        accepted = config.force_single_npu_bundle(0)
        index = config.get_forced_npu_bundle_index()
        forced = accepted is not False and index == 0 and index is not False
        if not forced:
            raise RuntimeError(
                f"{runtime.words} does not confirm that it runs a single bundle (index {index!r}), so operators may go to the "
                "host; allow_host_operators = true takes that into account"
            )
    slots = _set_slots(runtime, config, options)
    if options.asynchronous:
        if version_numbers(runtime.version) < FIRST_SOUND_ASYNC:
            least = ".".join(map(str, FIRST_SOUND_ASYNC))
            raise RuntimeError(
                f"asynchronous: {runtime.words} is older than {least}, whose infer_async was the first to give every request "
                "its own outputs; update the runtime, or leave asynchronous off"
            )
        config.set_async_pipeline_enabled(True)
    return config, slots, forced


def open_model(runtime: Runtime, path: Path, config: Any, options: MobilintOptions) -> Any:
    """Parse an MXQ; needs no device.

    Raises:
        WrongArtefact: It cannot be read, or has no such core mode.
    """
    try:
        return runtime.module.Model(str(path), config)
    except Exception as error:
        code = code_of(error)
        if code in UNREADABLE:
            raise WrongArtefact(
                f"{runtime.words} cannot read it as an MXQ ({code}): it is damaged, no .mxq, or of a newer compiler; compile it "
                "with a qbcompiler that belongs to this runtime"
            ) from error
        if code in OTHER_MODE:
            raise WrongArtefact(
                f"it was not compiled for core_mode = '{options.core_mode}' ({code}); name a mode that it has, or compile it "
                "with that inference_scheme; 'auto' works for an MXQ of one mode only"
            ) from error
        raise


def check_chip(model: Any, accelerator: Any, name: str, runtime: Runtime) -> None:
    """Compare the chips an MXQ is for with the chip that is here, where the runtime tells both.

    Raises:
        WrongArtefact: It is for another chip.
    """
    if not hasattr(model, "get_device_names"):
        return
    targets = [str(target).lower() for target in model.get_device_names()]
    here = str(accelerator.get_device_name() if hasattr(accelerator, "get_device_name") else name).lower()
    if targets and not any(_covers(target, here) for target in targets):
        raise WrongArtefact(_for_another_chip(", ".join(targets), here, runtime))


def _launch(model: Any, accelerator: Any, name: str, runtime: Runtime) -> None:
    try:
        model.launch(accelerator)
    except Exception as error:
        if code_of(error) in OTHER_CHIP:
            raise WrongArtefact(_for_another_chip(f"another chip ({words_of(error)})", name, runtime)) from error
        raise


def _for_another_chip(targets: str, here: str, runtime: Runtime) -> str:
    return f"it is compiled for {targets}, and here is {here} ({runtime.words}); compile it with target_device = '{here}'"


def _covers(target: str, here: str) -> bool:
    """Return whether one name is the other or its shorthand: ``aries`` stands for ``aries-rb``."""
    return target == here or (family_of(target) == family_of(here) and (target == family_of(target) or here == family_of(here)))


def _set_core_mode(module: Any, config: Any, options: MobilintOptions) -> Any:
    """Set the core mode; returns what the setter does, ``False`` for a refusal."""
    mode = options.core_mode
    if mode == "single":
        return config.set_single_core_mode(None, _core_ids(module, options))
    if mode == "global8":
        return config.set_global8_core_mode()
    if mode == "auto":
        return config.set_auto_core_mode()
    setter = config.set_multi_core_mode if mode == "multi" else config.set_global4_core_mode
    clusters = [getattr(module.Cluster, f"Cluster{n}") for n in options.clusters or (0, 1)]
    return setter(clusters)


def _core_ids(module: Any, options: MobilintOptions) -> list[Any]:
    pairs = [text.split(".") for text in options.cores or ("0.0",)]
    return [module.CoreId(getattr(module.Cluster, f"Cluster{c}"), getattr(module.Core, f"Core{n}")) for c, n in pairs]


def _set_slots(runtime: Runtime, config: Any, options: MobilintOptions) -> int:
    """Set the activation slots and return what the runtime has afterwards: the setter takes anything and returns nothing."""
    if not hasattr(config, "get_activation_slots"):
        if options.slots > 1:
            raise RuntimeError(f"slots: {runtime.words} has no activation slots; leave the option out")
        return 1
    if options.slots:
        config.set_activation_slots(options.slots)
    slots = int(config.get_activation_slots())
    if options.slots and slots != options.slots:
        raise RuntimeError(f"slots: {options.slots} were asked of {runtime.words}, and it has {slots}")
    # -1 = decided from the MXQ when the model is made, and told to nobody.
    return slots if slots > 0 else 1


def _check_cores(model: Any, module: Any, options: MobilintOptions) -> None:
    """Compare the cores a launched model has with those that were named.

    Raises:
        RuntimeError: It is on others.
    """
    if options.core_mode != "single" or not hasattr(model, "get_target_cores"):
        return
    wanted, got = _words(_core_ids(module, options)), _words(model.get_target_cores())
    if wanted != got:
        raise RuntimeError(f"cores: the model was put on {', '.join(got) or 'none'}, asked for were {', '.join(wanted)}")


def _words(cores: Sequence[Any]) -> list[str]:
    return sorted(f"{core.cluster.name}.{core.core.name}" for core in cores)
