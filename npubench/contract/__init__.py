"""The contract between npubench and a plug-in: the only page a vendor needs.

Imports the standard library and numpy, nothing else: it runs inside every vendor's environment.
"""

from npubench.contract.artefact import Artefact, Model, Offload, Support, Unsupported, WrongArtefact
from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import CONTRACT_VERSION, Backend, Done, Executor, Sensor, Tensors, submits
from npubench.contract.bundle import Bundle, BundleError, Gate, Variant, read_bundle
from npubench.contract.inputs import input_check
from npubench.contract.options import NoOptions, OptionError, parse_options
from npubench.contract.power_limit import PowerLimit
from npubench.contract.presence import driver_loaded, pci_cards
from npubench.contract.profile import OperatorTime
from npubench.contract.runspec import LoadSpec, MeterSpec, Phase, RunSpec, Scenario, Seeds, TargetSpec
from npubench.contract.tensors import Quantisation, TensorSpec

__all__ = [
    "CONTRACT_VERSION",
    "Artefact",
    "Availability",
    "Backend",
    "Bundle",
    "BundleError",
    "Device",
    "Done",
    "Executor",
    "Gate",
    "LoadSpec",
    "MeterSpec",
    "Model",
    "NoOptions",
    "Offload",
    "OperatorTime",
    "OptionError",
    "Phase",
    "PowerLimit",
    "Quantisation",
    "RunSpec",
    "Rung",
    "Scenario",
    "Seeds",
    "Sensor",
    "Support",
    "TargetSpec",
    "TensorSpec",
    "Tensors",
    "Unsupported",
    "Variant",
    "WrongArtefact",
    "driver_loaded",
    "input_check",
    "parse_options",
    "pci_cards",
    "read_bundle",
    "submits",
]
