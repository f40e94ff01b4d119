"""``npubench schema``: the JSON Schema of a format."""

from __future__ import annotations

import json

from pydantic import BaseModel

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.plan.suite import HostFile, SuiteFile
from npubench.record.schema import Record
from npubench.verbs.console import data

FORMATS: dict[str, type[BaseModel]] = {"record": Record, "suite": SuiteFile, "host": HostFile}


def print_schema(of: str) -> int:
    """Print the schema of ``record``, ``suite`` or ``host``."""
    if of not in FORMATS:
        raise InputError(f"there is no format '{of}'{nearest(of, FORMATS)}")
    data(json.dumps(FORMATS[of].model_json_schema(), indent=1, ensure_ascii=False))
    return 0
