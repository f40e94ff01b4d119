from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npubench.contract.bundle import Bundle
from npubench.plan.bundles import prepare
from npubench.plan.reference import run_reference
from npubench.plan.wheels import npubench_cache, resolve
from npubench.plan.workload import find_workload
from npubench_models.graphs.sst_net import INPUT, OUTPUT, forecast_net, read_weights
from npubench_models.graphs.train_sst import train
from npubench_models.workloads.sea_surface import HALO, SeaSurface, anomalies, history, read_sea_surface
from npubench_models.workloads.sst_forecast import score


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return prepare("sst-forecast", npubench_cache())


@pytest.fixture(scope="module")
def fields() -> SeaSurface:
    manifest = find_workload("sst-forecast").manifest
    return read_sea_surface(resolve(manifest.source, npubench_cache()).sources.path("sst"))


def rmse(error: np.ndarray, sea: np.ndarray) -> float:
    return float(np.sqrt((error[..., sea] ** 2).mean()))


def test_the_data_are_what_the_docstring_says(fields: SeaSurface) -> None:
    assert fields.temperature.shape == (54, 18, 432) and fields.sea.sum() == 5721
    assert fields.month[[0, -1]].tolist() == [3, 8] and set(np.diff(fields.month) % 12) == {1}
    assert fields.temperature[:, fields.sea].min() > 285 and fields.temperature.max() < 305


def test_baselines_by_monthly_means(fields: SeaSurface) -> None:
    training, held_out = list(fields.training), list(fields.held_out)
    mean = np.stack([fields.temperature[[m for m in training if fields.month[m] == k]].mean(axis=0) for k in range(12)])
    anomaly = fields.temperature - mean[fields.month]
    assert rmse(anomaly[held_out], fields.sea) == pytest.approx(1.0155, abs=5e-5)
    assert rmse(anomaly[held_out] - anomaly[held_out[0] - 1 : -1], fields.sea) == pytest.approx(0.5106, abs=5e-5)


def test_the_gate_asks_for_more_than_anomaly_persistence(bundle: Bundle, fields: SeaSurface) -> None:
    anomaly = anomalies(fields, fields.training)
    change = anomaly[list(fields.held_out)] - anomaly[fields.held_out[0] - 1 : -1]
    persistence = rmse(change.astype(np.float64), fields.sea)
    assert persistence == pytest.approx(0.4912, abs=5e-5)
    assert rmse(anomaly[list(fields.held_out)].astype(np.float64), fields.sea) == pytest.approx(1.0080, abs=5e-5)
    assert bundle.gate.required == pytest.approx(0.4547, abs=1e-4)
    assert bundle.gate.required < 0.95 * persistence
    # And so says the workload's own scoring of its own samples.
    last = bundle.load_inputs()[0][:, -2:-1, :, HALO:-HALO]
    assert score({OUTPUT: last}, bundle.load_labels(), {}) == pytest.approx(persistence, abs=1e-6)


def test_tiles_forecast_what_the_whole_globe_does(bundle: Bundle, fields: SeaSurface) -> None:
    month = fields.held_out[0]
    known = history(anomalies(fields, fields.training), fields.sea, month)
    around = np.pad(known, ((0, 0), (0, 0), (HALO, HALO)), mode="wrap")
    height, width = fields.sea.shape
    model = forecast_net(read_weights().layers, height, width)
    whole = run_reference(model, {INPUT: around[None]}, {}).outputs[OUTPUT][0, 0]
    tiled = np.concatenate(list(bundle.load_reference()[0][:6, 0]), axis=1)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert not whole[~fields.sea].any()


def test_training_makes_the_committed_weights(fields: SeaSurface) -> None:
    committed = read_weights()
    np.testing.assert_allclose(train(fields, passes=2).losses, committed.losses[:2], rtol=1e-6)
    assert committed.losses[-1] < 0.8 * committed.losses[0]


def test_training_does_not_see_the_held_out_year(fields: SeaSurface) -> None:
    hidden = fields.temperature.copy()
    hidden[list(fields.held_out)] = np.nan
    blind, seeing = (train(f, passes=1) for f in (replace(fields, temperature=hidden), fields))
    for a, b in zip(blind.layers, seeing.layers, strict=True):
        np.testing.assert_array_equal(a.kernel, b.kernel)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "sst_net.npz"
    other.write_bytes(b"other")
    monkeypatch.setattr("npubench_models.graphs.sst_net.WEIGHTS", other)
    with pytest.raises(ValueError, match="not the weights of this version"):
        read_weights()
