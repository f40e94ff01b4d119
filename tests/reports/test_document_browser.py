"""A document as HTML in a real browser: no horizontal scroll, nothing of the console, and axe-core finds no violation.

Skipped where there is no Chromium; the part with axe-core also where ``NPUBENCH_AXE`` does not name its ``axe.min.js``
(``npm install axe-core``).
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from npubench.report.document import Document
from npubench_reports.document_html import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(os.environ.get("NPUBENCH_AXE", "no-axe"))
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=30000",
]
Browse = Callable[[str], str]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


@pytest.fixture(params=["every-block", "comparison"])
def document(request: pytest.FixtureRequest, document: Document, comparison: Document) -> Document:
    """The document with every kind of block, and one that a verb writes."""
    return document if request.param == "every-block" else comparison


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page and return what is in its element ``found`` once its scripts have run."""

    def opened(page: str) -> str:
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [str(CHROMIUM), *QUIET, profile, "--dump-dom", path.as_uri()]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout.decode("utf-8", "replace"), re.S)
        assert found is not None, done.stderr[-2000:]
        return html.unescape(found[1])

    return opened


def free(page: str) -> str:
    """Return a page without its policy, so that a test's script runs in it."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_page_has_no_horizontal_scroll_on_phone_and_laptop(document: Document, browse: Browse, language: str) -> None:
    page = html.escape(render(document, language=language).decode("utf-8"))
    frames = "".join(
        f'<iframe width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>' for width in (320, 390, 1280)
    )
    script = """
      onload = () => {
        const found = [...document.querySelectorAll('iframe')].map(f => {
          const e = f.contentDocument.documentElement; return [e.scrollWidth, e.clientWidth];
        });
        const pre = document.createElement('pre');
        pre.id = 'found';
        pre.textContent = JSON.stringify(found);
        document.body.append(pre);
      };
    """
    widths = json.loads(browse(f"<!DOCTYPE html><meta charset='utf-8'><body>{frames}<script>{script}</script>"))
    assert [client for _, client in widths] == [320, 390, 1280]
    assert all(scroll <= client for scroll, client in widths), widths


@pytest.mark.skipif(not AXE.is_file(), reason="NPUBENCH_AXE names no axe.min.js")
@pytest.mark.parametrize("language", ["ko", "en"])
def test_axe_finds_no_violation(document: Document, browse: Browse, language: str) -> None:
    page = free(render(document, language=language).decode("utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    script = f"""
      document.querySelectorAll('details').forEach(d => d.open = true);
      const pre = document.createElement('pre'); pre.id = 'found';
      axe.run(document, {{runOnly: {json.dumps(tags)}}}).then(r => {{
        pre.textContent = JSON.stringify([r.passes.length, r.violations.map(v => [v.id, v.nodes.map(n => n.html)])]);
        document.body.append(pre);
      }});
    """
    axe = AXE.read_text(encoding="utf-8")
    passed, violations = json.loads(browse(page.replace("</body>", f"<script>{axe}</script><script>{script}</script></body>")))
    assert violations == []
    assert passed > 20
