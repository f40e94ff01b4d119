"""FuriosaAI as two backends: RNGD through ``furiosa.torch`` and Warboy through ``furiosa.runtime``.

Neither import here loads an SDK: both are imported inside the methods that need them, each in an environment of its own.
"""

from npubench_furiosa.rngd import FuriosaBackend, RngdOptions
from npubench_furiosa.warboy import WarboyBackend, WarboyOptions

__all__ = ["FuriosaBackend", "RngdOptions", "WarboyBackend", "WarboyOptions"]
