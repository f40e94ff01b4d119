"""A stand-in for the package ``dx_engine``: the names of DX-RT 2.9.5 and 3.x, and the quirks that were seen on a DX-M1.

Quirks: a callback that is registered also fires during ``run``, with no token; it may fire inside ``run_async``, or late and
out of order; its outputs lie in a buffer that is written again once it has returned; a channel beyond the three cores
answers 0; an image of bytes goes without its axis of length one. It computes ``scores = image @ weight`` with numpy and
stands for no chip.

Environment: ``FAKE_DX_DEVICES`` (how many), ``FAKE_DX_RELEASE`` (``2.9.5`` has neither buffer_count nor several inputs).
"""

import os

from dx_engine.configuration import Configuration
from dx_engine.device_status import DeviceStatus
from dx_engine.inference_engine import InferenceEngine, parse_model
from dx_engine.inference_option import InferenceOption

__version__ = os.environ.get("FAKE_DX_RELEASE", "3.1.0")

__all__ = ["Configuration", "DeviceStatus", "InferenceEngine", "InferenceOption", "parse_model"]
