"""Reading a bundle: what is whole is read, what is not says which file and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract.bundle import Bundle, BundleError, bundle_digest, content_digest, file_digest, keep_output, read_bundle

Make = Callable[..., Bundle]


def test_a_whole_bundle_gives_samples_labels_and_reference(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    bundle = read_bundle(tmp_path / "b", check_files=True)
    (inputs,) = bundle.load_inputs()
    (reference,) = bundle.load_reference()
    assert isinstance(inputs, np.memmap)
    assert inputs.shape == (bundle.samples, 4)
    np.testing.assert_array_equal(bundle.load_labels()["y"], reference)


def test_vendor_precision_is_the_fp32_file(tmp_path: Path, make_bundle: Make) -> None:
    bundle = make_bundle(tmp_path / "b")
    vendor, fp32 = bundle.model("vendor"), bundle.model("fp32")
    assert (vendor.precision, vendor.path, vendor.digest) == ("vendor", fp32.path, fp32.digest)


def test_calibration_samples_are_named_only_where_there_are_some(tmp_path: Path, make_bundle: Make) -> None:
    assert make_bundle(tmp_path / "a").model("fp32").calibration == {}
    with_some = make_bundle(tmp_path / "b", calibration_digest="sha256:1")
    assert with_some.model("fp32").calibration == {"x": tmp_path / "b" / "calibration" / "0.npy"}


def test_no_labels_are_no_error(tmp_path: Path, make_bundle: Make) -> None:
    bundle = make_bundle(tmp_path / "b")
    (tmp_path / "b" / "labels.npz").unlink()
    assert bundle.load_labels() == {}


def test_a_missing_bundle_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json: no such bundle; run 'npubench workloads prepare'"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1', "\x00\x01"])
def test_a_truncated_manifest_says_how_to_make_it_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read: .*; run 'npubench workloads prepare'"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_json_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: "):
        read_bundle(tmp_path)


def rewrite(root: Path, *, seal: bool = True, **changes: Any) -> None:
    manifest = json.loads((root / "bundle.json").read_text())
    for key, value in changes.items():
        if value is None:
            manifest.pop(key)
        else:
            manifest[key] = value
    if seal:
        manifest["digest"] = bundle_digest(manifest)
    (root / "bundle.json").write_text(json.dumps(manifest))


def test_another_version_is_named_with_the_one_that_is_read(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    rewrite(tmp_path / "b", schema_version=99)
    with pytest.raises(BundleError, match=r"bundle\.json: schema_version is 99, this npubench reads 1"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    "changes",
    [
        {"gate": None},
        {"gate": {"metric": "x"}},
        {"inputs": [{"name": "x"}]},
        {"samples": "many"},
        {"variants": []},
        {"inputs": 3},
    ],
)
def test_a_damaged_manifest_says_how_to_make_it_again(tmp_path: Path, make_bundle: Make, changes: dict[str, Any]) -> None:
    make_bundle(tmp_path / "b")
    rewrite(tmp_path / "b", **changes)
    with pytest.raises(BundleError, match=r"bundle\.json: damaged at .*; run 'npubench workloads prepare'"):
        read_bundle(tmp_path / "b")


def test_a_changed_manifest_does_not_match_its_digest(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    rewrite(tmp_path / "b", seal=False, operations=1)
    with pytest.raises(BundleError, match=r"bundle\.json: digest does not match the manifest; run .* --force'"):
        read_bundle(tmp_path / "b")


def test_a_number_json_has_no_word_for_is_refused(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    text = (tmp_path / "b" / "bundle.json").read_text()
    (tmp_path / "b" / "bundle.json").write_text(text.replace('"required": 0.99', '"required": NaN'))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(tmp_path / "b")


def test_a_missing_file_is_named(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "inputs" / "0.npy").unlink()
    with pytest.raises(BundleError, match=r"inputs/0\.npy: missing; run 'npubench workloads prepare'"):
        read_bundle(tmp_path / "b", check_files=True)


def test_a_changed_file_is_named(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "fp32" / "model.onnx").write_bytes(b"another graph")
    with pytest.raises(BundleError, match=r"model\.onnx: wrong digest, expected sha256:.*; run .* --force'"):
        read_bundle(tmp_path / "b", check_files=True)


def test_argmax_keeps_the_index_of_the_largest_along_the_last_axis() -> None:
    values = np.array([[[1.0, 3.0, 2.0], [9.0, 0.0, 0.0]]])
    kept = keep_output(values, "argmax")
    assert kept.dtype == np.int32
    np.testing.assert_array_equal(kept, [[1, 0]])
    assert keep_output(values, "all") is values


def test_a_content_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({"a": 1}) != content_digest({"a": 2})


def test_a_file_digest_is_that_of_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
