"""Which HTML renderer is meant must be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from npubench.errors import InputError
from npubench.verbs.report import write_html


def test_two_renderers_of_one_name_are_named_both_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "acme_reports-3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reports\nVersion: 3\n")
    (info / "entry_points.txt").write_text("[npubench.reports]\nhtml = acme_reports:render\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    nothing: Any = None
    said = r"HTML renderer 'html' is claimed by acme-reports 3 \(acme_reports:render\) and npubench .*; uninstall all of them"
    with pytest.raises(InputError, match=said):
        write_html(nothing, tmp_path / "page.html", "en")
    assert not (tmp_path / "page.html").exists()
