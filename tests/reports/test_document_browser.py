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
from collections.abc import Callable, Mapping
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
@pytest.mark.parametrize("name", ["document", "comparison"])
def test_a_page_has_no_horizontal_scroll_on_phone_and_laptop(
    request: pytest.FixtureRequest, browse: Browse, name: str, language: str
) -> None:
    document: Document = request.getfixturevalue(name)
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


@pytest.mark.skipif(not AXE.is_file(), reason="NPUBENCH_AXE names no axe.min.js (.ci/checkers installs it)")
def test_axe_finds_no_violation(
    document: Document, documents: Mapping[str, Document], make_document: Callable[..., Document], browse: Browse
) -> None:
    """Every kind of report in both languages, and one that lacks a heading, so that this test can fail; one browser for all."""
    pages = {
        f"{kind}.{language}": free(render(each, language=language).decode("utf-8"))
        for kind, each in {"every-block": document, **documents}.items()
        for language in ("ko", "en")
    }
    broken = re.sub("<h1.*?</h1>", "", pages["every-block.en"]).replace('<html lang="en">', "<html>")
    found = audited({**pages, "broken": broken}, browse)
    assert {name: violations for name, (_, violations) in found.items() if violations and name != "broken"} == {}
    assert min(passed for passed, _ in found.values()) > 20
    assert {"html-has-lang", "page-has-heading-one"} <= {rule for rule, _ in found["broken"][1]}


def audited(pages: Mapping[str, str], browse: Browse) -> dict[str, tuple[int, list[tuple[str, list[str]]]]]:
    """Return how many rules of axe-core's a page passed, and those it broke with the elements, by the page's name."""
    axe = AXE.read_text(encoding="utf-8")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    run = f"""
      document.querySelectorAll('details').forEach(d => d.open = true);
      axe.run(document, {{runOnly: {json.dumps(tags)}}}).then(r => {{
        window.found = [r.passes.length, r.violations.map(v => [v.id, v.nodes.map(n => n.html)])];
      }});
    """
    scripts = f"<script>{axe}</script><script>{run}</script></body>"
    frames = "".join(
        f'<iframe width="1280" height="800" srcdoc="{html.escape(page.replace("</body>", scripts))}"></iframe>'
        for page in pages.values()
    )
    script = """
      const wait = setInterval(() => {
        const found = [...document.querySelectorAll('iframe')].map(f => f.contentWindow.found);
        if (found.some(each => each === undefined)) return;
        clearInterval(wait);
        const pre = document.createElement('pre');
        pre.id = 'found';
        pre.textContent = JSON.stringify(found);
        document.body.append(pre);
      }, 100);
    """
    answers = json.loads(browse(f"<!DOCTYPE html><meta charset='utf-8'><body>{frames}<script>{script}</script>"))
    return {
        name: (passed, [(rule, nodes) for rule, nodes in broken]) for name, (passed, broken) in zip(pages, answers, strict=True)
    }
