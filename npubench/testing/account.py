"""What a simulated device has drawn and how warm it is, as its sensors show it. Pure functions of an account and a time.

It accounts for a stated law; it measures no real power.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from npubench.testing.courses import power_mw
from npubench.testing.laws import Law, clock_hz, course_of, energy_pj, energy_uj, is_throttled, sensor_of, temperature_mc
from npubench.testing.showing import in_steps, last_update, update_ns


@dataclass(frozen=True, slots=True)
class Account:
    """What a simulated device has drawn, as it stands in the board's file. All times are of ``CLOCK_MONOTONIC``, ns.

    The sensors show the account as of their last *edge*, some whole number of update periods after ``base_ns``. Whatever the
    course of power, it is a function of the time spent serving, so that this time at the two edges before the last change is
    all that must be kept.

    Args:
        law: The device's.
        base_ns: When this account began.
        base_uj: The energy counter then, µJ.
        held: 1 while an executor has the device, else 0.
        change_ns: When serving last began or ended.
        busy_ns: Time spent serving until ``change_ns``.
        serving: 1 while at least one request is served, else 0.
        edge_ns: The last edge at or before ``change_ns``.
        edge_busy_ns: Time spent serving until ``edge_ns``.
        edge_serving: 1 if a request was served at ``edge_ns``, else 0.
        prior_busy_ns: Time spent serving until the edge before ``edge_ns``.
    """

    law: Law
    base_ns: int
    base_uj: int
    held: int
    change_ns: int
    busy_ns: int = 0
    serving: int = 0
    edge_ns: int = 0
    edge_busy_ns: int = 0
    edge_serving: int = 0
    prior_busy_ns: int = 0


def opened(law: Law, now_ns: int, base_uj: int = 0, held: bool = True) -> Account:
    """Return the account of a device that begins at ``now_ns`` with its counter at ``base_uj``."""
    return Account(law, now_ns, base_uj, int(held), now_ns, edge_ns=now_ns)


def changed(account: Account, serving: bool, now_ns: int) -> Account:
    """Return the account after serving began or ended at ``now_ns``, which is not before the last change."""
    prior, edge = _edges(account, now_ns)
    return Account(
        account.law,
        account.base_ns,
        account.base_uj,
        account.held,
        change_ns=now_ns,
        busy_ns=_busy(account, now_ns),
        serving=int(serving),
        edge_ns=edge,
        edge_busy_ns=_busy(account, edge),
        edge_serving=_serving(account, edge),
        prior_busy_ns=_busy(account, prior),
    )


def shown_energy_uj(account: Account, now_ns: int) -> int:
    """Return what the energy counter shows at ``now_ns``, µJ: the energy drawn until the last edge, in its steps."""
    _, edge = _edges(account, now_ns)
    drawn = account.base_uj + energy_uj(account.law, _busy(account, edge), edge - account.base_ns)
    return int(in_steps(sensor_of(account.law, "energy"), drawn))


def shown_power_mw(account: Account, now_ns: int) -> int | None:
    """Return what the power gauge shows at ``now_ns``, mW, in its steps; None before its first edge.

    The mean between the last two edges, or the power at the last one, as the law has it.
    """
    law, (prior, edge) = account.law, _edges(account, now_ns)
    if edge == account.base_ns:
        return None
    busy = _busy(account, edge)
    if law.power_averages:
        before = energy_pj(law, _busy(account, prior), prior - account.base_ns)
        power = (energy_pj(law, busy, edge - account.base_ns) - before) / (edge - prior)
    else:
        power = float(power_mw(course_of(law), busy)) if _serving(account, edge) else float(law.idle_mw)
    return int(in_steps(sensor_of(law, "power"), power))


def shown_temperature_mc(account: Account, now_ns: int) -> int:
    """Return what the thermometer shows at ``now_ns``, m°C."""
    return temperature_mc(account.law, _shown_busy(account, now_ns))


def shown_clock_hz(account: Account, now_ns: int) -> int:
    """Return what the clock's sensor shows at ``now_ns``, Hz."""
    return clock_hz(account.law, _shown_busy(account, now_ns))


def shown_throttle(account: Account, now_ns: int) -> int:
    """Return the throttle flag at ``now_ns``: 0 or 1."""
    return int(is_throttled(account.law, _shown_busy(account, now_ns)))


#: Kind of sensor → what it shows of an account at a time.
SHOWN: Mapping[str, Callable[[Account, int], int | None]] = MappingProxyType(
    {
        "energy": shown_energy_uj,
        "power": shown_power_mw,
        "clock": shown_clock_hz,
        "temperature": shown_temperature_mc,
        "throttle": shown_throttle,
    }
)


def busy_until(account: Account, now_ns: int) -> int:
    """Return the time spent serving until ``now_ns``, which is not before the last change, ns."""
    return _busy(account, max(now_ns, account.change_ns))


def _shown_busy(account: Account, now_ns: int) -> int:
    return _busy(account, _edges(account, now_ns)[1])


def _edges(account: Account, now_ns: int) -> tuple[int, int]:
    """Return the last two edges at or before ``now_ns``; twice the beginning where there is but that."""
    model = sensor_of(account.law, "")
    count = int(last_update(model, account.base_ns, now_ns))
    return tuple(int(update_ns(model, account.base_ns, max(0, n))) for n in (count - 1, count))  # type: ignore[return-value]


def _busy(account: Account, at_ns: int) -> int:
    """Return the time spent serving until ``at_ns``: any time after the last change, or one of the two edges before it."""
    if at_ns >= account.change_ns:
        return account.busy_ns + (at_ns - account.change_ns) * account.serving
    return account.edge_busy_ns if at_ns == account.edge_ns else account.prior_busy_ns


def _serving(account: Account, at_ns: int) -> int:
    """Return whether a request is served at ``at_ns``: a time after the last change, or the last edge before it."""
    return account.serving if at_ns >= account.change_ns else account.edge_serving
