"""A secret is found where the host file says it is, and shows itself nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from npubench.measure.meters.credentials import Secret, needed, read_secret
from npubench.measure.meters.sensor import MeterError


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"


def test_variable_and_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_PASSWORD", "from the variable")
    file = tmp_path / "password"
    file.write_text("from the file\nnot this\n")
    assert needed("password", "METER_PASSWORD", None).reveal() == "from the variable"
    assert needed("password", None, str(file)).reveal() == "from the file"
    assert read_secret("password", None, None) is None


def test_what_is_wrong_names_key_and_place_and_no_content(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\nsecond line\n")
    raw = tmp_path / "raw"
    raw.write_bytes(b"\xff\xfe")
    for arguments, said in (
        ((None, None), "settings: password is missing; name the variable"),
        (("A", "b"), "both given"),
        (("NPUBENCH_NOT_SET", None), "settings.password_env: the environment variable NPUBENCH_NOT_SET is not set"),
        ((None, str(tmp_path / "none")), "No such file"),
        ((None, str(empty)), "the first line of"),
        ((None, str(raw)), "not UTF-8"),
    ):
        with pytest.raises(MeterError) as caught:
            needed("password", *arguments)
        assert said in str(caught.value)
        assert "second line" not in str(caught.value)
