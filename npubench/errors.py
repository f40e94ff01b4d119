"""The errors npubench raises at its edges. Each ends a command with one sentence and an exit code.

::

    NpubenchError                 never raised itself
    ├── InputError      exit 2    the user's file, key or argument is wrong; says where and what is valid
    │   ├── SuiteError            a suite or host file
    │   ├── WorkloadError         a workload, its source or its bundle
    │   ├── ModelError            an ONNX file of the user's own
    │   ├── StoreError            the store cannot be written or read
    │   └── RecordError           a record is damaged or of a newer schema
    └── TargetError     exit 3    a target cannot be used on this machine; says which rung it reached
"""

from __future__ import annotations


class NpubenchError(Exception):
    """The root of the tree; its text is one sentence for the user."""

    exit_code = 1


class InputError(NpubenchError):
    """What the user gave is wrong; the text names file, key and the nearest valid name."""

    exit_code = 2


class SuiteError(InputError):
    """Raised while a suite or a host file is read and resolved."""


class WorkloadError(InputError):
    """Raised while a workload is looked up, fetched or made into a bundle."""


class ModelError(InputError):
    """Raised when an ONNX file of the user's own cannot be used."""


class StoreError(InputError):
    """Raised when a store cannot be written, or when two processes would write to one."""


class RecordError(InputError):
    """Raised when a record cannot be read: truncated, unknown keys, or a newer schema."""


class TargetError(NpubenchError):
    """Raised when a target cannot be used on this machine."""

    exit_code = 3
