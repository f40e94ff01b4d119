"""sst-forecast: next month's sea-surface temperature in the tropics, from the three months before; scored on a held-out year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.graphs.sst_net import INPUT, OUTPUT, forecast_net, read_weights
from npubench_models.workloads.sea_surface import HALO, HISTORY, TILE, SeaSurface, anomalies, history, read_sea_surface, tiles

#: A value that is no number, or absurd, counts as so many K away: a bad score that can still be written down.
_ABSURD_K = 1000.0


def build(sources: Sources) -> Draft:
    """Return the trained net, the 12 held-out months in 6 tiles each, and every third training month to calibrate with."""
    fields = read_sea_surface(sources.path("sst"))
    anomaly = anomalies(fields, fields.training)
    return Draft(
        model=forecast_net(read_weights().layers, fields.sea.shape[0], TILE),
        inputs={INPUT: _histories(fields, anomaly, fields.held_out)},
        labels={
            "anomaly": np.concatenate([tiles(anomaly[month][None], 0) for month in fields.held_out]),
            "sea": np.concatenate([tiles(fields.sea[None], 0) for _ in fields.held_out]),
        },
        calibration={INPUT: _histories(fields, anomaly, fields.training[HISTORY::3])},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the root mean square error of the forecast over all sea points and held-out months, K.

    All points weigh the same: within 5° of the equator their areas differ by 0.4 %.
    """
    forecast = np.nan_to_num(outputs[OUTPUT].astype(np.float64), nan=_ABSURD_K)
    error = np.clip(forecast - labels["anomaly"], -_ABSURD_K, _ABSURD_K)[labels["sea"]]
    return float(np.sqrt(np.mean(error**2)))


def _histories(fields: SeaSurface, anomaly: Array, months: Sequence[int]) -> Array:
    """Return the inputs for the forecasts of ``months``, month by month and from west to east."""
    return np.concatenate([tiles(history(anomaly, fields.sea, month), HALO) for month in months])
