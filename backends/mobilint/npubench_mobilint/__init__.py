"""Mobilint's NPUs ARIES and REGULUS as a backend: ``.mxq`` artefacts on ``qbruntime``, telemetry from ``mbltml``.

Imports no vendor package by itself; what is said about the SDK was read from its published wheels (qbruntime 1.5.0,
mobilint-ml 1.5.0, mbltml 0.0.0), and no part of it was run on a card here.
"""

from npubench_mobilint.backend import MobilintBackend
from npubench_mobilint.options import MobilintOptions

__all__ = ["MobilintBackend", "MobilintOptions"]
