"""Show a run's audits under its line: observed, required and verdict of each."""

from __future__ import annotations

from npubench.analyze.audits.verdict import Audit
from npubench.record.schema import Record

_SIGNS = {"passed": "[green]✔[/]", "failed": "[red]✘[/]", "not-carried-out": "[dim]–[/]"}


def audit_lines(record: Record) -> str:
    """Return a line an audit, each with a line break before it; nothing where no audit was asked for."""
    return "".join(f"\n      {_line(audit)}" for audit in record.audits)


def _line(audit: Audit) -> str:
    from rich.markup import escape

    said = f"{audit.name}: {escape(audit.observed)}"
    if audit.status == "not-carried-out":
        return f"{_SIGNS[audit.status]} [dim]{audit.name}: not carried out: {escape(audit.observed)}[/]"
    if audit.status == "failed":
        said = f"[red]{said}[/]"
    return f"{_SIGNS[audit.status]} {said}  [dim]required: {escape(audit.required)}[/]"
