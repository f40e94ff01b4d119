"""In what the two sides of a ratio are not comparable, in the reader's language."""

from __future__ import annotations

from npubench.report.page import Ratio
from npubench_reports.messages import Messages


def unlike_text(ratio: Ratio, messages: Messages) -> str:
    """Return the conditions in which the two sides are not comparable, as one phrase; "" where there is none."""
    names = ", ".join(messages.name("unlike", condition) for condition in ratio.unlike)
    return messages("ratio.unlike", names=names) if names else ""
