"""Which renderer is meant must be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from npubench.errors import InputError
from npubench.verbs.documents import write_document


def test_two_renderers_of_one_name_are_named_both_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "acme_reports-3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reports\nVersion: 3\n")
    (info / "entry_points.txt").write_text("[npubench.reports]\ndocument-html = acme_reports:render\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    nothing: Any = None
    said = r"renderer 'document-html' is claimed by acme-reports 3 \(acme_reports:render\) and npubench .*; uninstall all of them"
    with pytest.raises(InputError, match=said):
        write_document(nothing, ("html",), "en", tmp_path / "page.html", tmp_path)
    assert not (tmp_path / "page.html").exists()
