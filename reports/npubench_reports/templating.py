"""What pages are made in: templates in which everything is escaped, and the policy that lets nothing load, run or be sent."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from npubench_reports.said import Said
from npubench_reports.unseen import UNSEEN


def policy(style: str) -> str:
    """Return the content security policy: nothing may load, run or be sent; only this very style sheet applies."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def environment() -> Environment:
    """Return the templates' surroundings: everything is escaped, nothing undefined passes, what is unseen is replaced."""
    return Environment(
        loader=PackageLoader("npubench_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _visible(value: Any) -> Any:
    """Put the replacement character wherever a record's text holds what cannot be seen or encoded."""
    if isinstance(value, Markup):
        return value
    return UNSEEN.sub("\ufffd", str(value)) if isinstance(value, str | Said) else value
