"""SDKs that misbehave, as texts for a folder on PYTHONPATH: a vendor's package each, and the plug-in that drives it.

A fake proves what the harness does about such behaviour, and nothing about a vendor's SDK. Every behaviour here is one that
some published SDK shows: aborts, floods of output, signal handlers, an autoload that breaks ``import torch``.
"""

from __future__ import annotations

from pathlib import Path

from .acme import write_distribution

#: What every plug-in here is made of; its SDK is a module with whichever of ``probe``, ``load`` and ``execute`` it spoils.
BASE = """
import importlib
from typing import Any, ClassVar

import numpy as np

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, TensorSpec, WrongArtefact


class Loaded(Executor):
    inputs = (TensorSpec("x", "float32", (None, 4)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)
    max_batch = 8

    def __init__(self, sdk: Any) -> None:
        self.execute_hook = getattr(sdk, "execute", lambda count: None)
        self.count = 0

    def execute(self, inputs: Any) -> Any:
        self.count += 1
        self.execute_hook(self.count)
        return {"y": inputs["x"] @ np.tile(np.array([1, 2], np.float32), (4, 1))}


class Hostile(Backend):
    sdk: ClassVar[str]

    def probe(self) -> Availability:
        try:
            sdk = importlib.import_module(self.sdk)
        except Exception as error:
            words = f"the SDK '{self.sdk}' cannot be imported: {type(error).__name__}: {error}"
            return Availability(Rung.SDK_BROKEN, words, "install the SDK again")
        getattr(sdk, "probe", lambda: None)()
        return Availability(Rung.READY, devices=(Device("npu:0", "ACME-1"),))

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        sdk = importlib.import_module(self.sdk)
        getattr(sdk, "load", lambda artefact: None)(artefact)
        return Loaded(sdk)
"""

PLUGIN = """
from hostile_base import Hostile


class Plugin(Hostile):
    sdk = "sdk_{name}"
"""

#: Backend → its SDK.
SDKS: dict[str, str] = {
    "polite": "",
    "aborts-probe": """
import os


def probe():
    os.write(2, b"ACME driver assertion failed: card != NULL\\n")
    os.abort()
""",
    "aborts-execute": """
import os


def execute(count):
    if count > 100:
        os.write(2, b"ACME runtime assertion failed: queue\\n")
        os.abort()
""",
    # The flood goes through Python and past it, as a C++ library's does.
    "stuck": """
import os
import time

os.write(1, b"x" * 9_000_000)
time.sleep(600)
""",
    "slow-and-loud": """
import os
import sys
import time

time.sleep(1.0)
os.write(1, b"stdout of an import\\n" * 150_000)
os.write(2, b"stderr of an import\\n" * 150_000)


def probe():
    print('{"rung": 4}\\n' * 200_000)
    sys.stderr.write("stderr of a probe\\n" * 100_000)


def execute(count):
    if count == 70:
        print("stdout of a query\\n" * 100_000)
""",
    "rude": """
import atexit
import locale
import os
import signal
import sys
import threading
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
atexit.register(time.sleep, 600)
threading.Thread(target=time.sleep, args=(600,)).start()


def probe():
    os.chdir("/")
    os.umask(0o777)
    locale.setlocale(locale.LC_ALL, "C")
    sys.setswitchinterval(5.0)


def load(artefact):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threading.Thread(target=time.sleep, args=(600,)).start()
""",
    "closes": """
import os


def probe():
    os.closerange(3, 256)
""",
    # As torch does at import for every package in the group torch.backends, and as one such package fails.
    "breaks-torch": "import torch\n",
    "wrong-file": """
from npubench.contract import WrongArtefact


def load(artefact):
    raise WrongArtefact("made for ACME-2 by compiler 1.9, here are ACME-1 and 2.0; compile it again for ACME-1")
""",
}

TORCH = """
from importlib.metadata import entry_points

for point in entry_points(group="torch.backends"):
    try:
        point.load()()
    except Exception as error:
        raise RuntimeError(f"Failed to load the backend extension: {point.name}. You can disable it") from error
"""

VENDOR_TORCH = """
def _autoload():
    raise OSError("libacme_runtime.so.3: cannot open shared object file")
"""

#: Entry points that are no plug-in for this kernel.
WRONG = """
from npubench.contract import Backend


class Newer(Backend):
    contract = 99
    probe = load = None


class NoBackend:
    pass
"""


#: Its probe never ends; it lies apart, so that what only takes its time is asked without its deadline.
STUCK = "stuck"


def write_stuck(site: Path) -> Path:
    """Write the plug-in whose SDK never comes back from its import."""
    (site / "hostile_base.py").write_text(BASE)
    _write_plugin(site, STUCK)
    write_distribution(site, "hostile_stuck", f"[npubench.backends]\n{STUCK} = hostile_stuck:Plugin\n")
    return site


def _write_plugin(site: Path, name: str) -> str:
    """Write a plug-in and its SDK; returns its module."""
    module = name.replace("-", "_")
    (site / f"sdk_{module}.py").write_text(SDKS[name])
    (site / f"hostile_{module}.py").write_text(PLUGIN.format(name=module))
    return f"hostile_{module}"


def write_hostile(site: Path) -> Path:
    """Write every other hostile plug-in, its SDK, and two distributions that claim one name."""
    (site / "hostile_base.py").write_text(BASE)
    entries = [f"{name} = {_write_plugin(site, name)}:Plugin" for name in SDKS if name != STUCK]
    (site / "hostile_wrong.py").write_text(WRONG)
    entries += ["newer = hostile_wrong:Newer", "no-backend = hostile_wrong:NoBackend", "no-class = hostile_wrong"]
    (site / "torch.py").write_text(TORCH)
    (site / "acme_torch.py").write_text(VENDOR_TORCH)
    autoload = "\n[torch.backends]\nacme = acme_torch:_autoload\n"
    write_distribution(
        site, "hostile", "[npubench.backends]\n" + "\n".join([*entries, "twin = hostile_polite:Plugin"]) + autoload
    )
    write_distribution(site, "impostor", "[npubench.backends]\ntwin = hostile_rude:Plugin\n")
    return site
