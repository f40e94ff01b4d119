"""Look at the host file's meters before a suite starts: a night without watts is found out in the evening."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from npubench.analyze.energy import implausible
from npubench.contract.options import nearest
from npubench.contract.runspec import MeterSpec, RunSpec
from npubench.errors import SuiteError
from npubench.measure.meters.trial import DEADLINE_S, Trial, try_meters
from npubench.measure.surroundings import Sight
from npubench.plan.suite import HostFile

#: What a meter that cannot be used costs, for people.
_WHY = "a run without its meters has no figure for their energy"


def check_meters(host: HostFile, suite_targets: Collection[str], runs: Iterable[RunSpec], deadline_s: float = DEADLINE_S) -> None:
    """Open every meter that covers one of ``runs``, read it once and close it again.

    Args:
        host: The host file.
        suite_targets: Names of the suite's targets.
        runs: What is to be measured.
        deadline_s: How long a meter may take, s.

    Raises:
        SuiteError: A meter covers a target that nobody knows, reads what another one reads, cannot be used, or shows power
            that its domain cannot draw; names key and way out.
    """
    known = {*suite_targets, *host.target}
    for name, meter in host.meter.items():
        for target in meter.targets:
            if target not in known:
                raise SuiteError(
                    f"{host.place}: meter.{name}.targets: unknown target '{target}'{nearest(target, known)} (a target of another "
                    f"suite is made known here by [target.{target}])"
                )
    meters: dict[str, MeterSpec] = {}
    for run in runs:
        _check_apart(run.meters, host.place)
        meters |= {meter.name: meter for meter in run.meters}
    for trial in try_meters(list(meters.values()), deadline_s):
        if complaint := complaint_of(trial):
            raise SuiteError(f"{host.place}: {complaint}; or take [meter.{trial.meter}] out of it to measure without")


def complaint_of(trial: Trial) -> str:
    """Return what is wrong with a meter that was tried, or ""."""
    if trial.complaint:
        return trial.complaint
    for shown in trial.shown:
        where = f"meter.{trial.meter}"
        if shown.watts is not None and shown.watts < 0.0:
            return f"{where}: {shown.sensor}: {shown.watts:,.4g} W cannot be right: current flows the other way through it"
        if shown.watts is not None and (wrong := implausible(shown.watts, shown.domain)):
            return f"{where}: {shown.sensor}: {wrong}; see the unit in {where}.settings, and its domain '{shown.domain}'"
    return ""


def sight_of(trial: Trial) -> Sight:
    """Return a meter that was tried as something ``doctor`` has looked at."""
    name = f"meter {trial.meter}"
    complaint = complaint_of(trial)
    if complaint:
        seen_wrong = complaint.removeprefix(f"meter.{trial.meter}: ")
        return Sight(name, "warn", seen_wrong, _WHY, f"mend it, or take [meter.{trial.meter}] out of the host file")
    seen = [
        f"{shown.sensor.removeprefix(trial.meter).strip() or shown.sensor} of the {shown.domain} by {shown.evidence}"
        + (f": {shown.watts:.4g} W" if shown.watts is not None else ": does not move")
        for shown in trial.shown
        if shown.kind in ("energy", "power")
    ]
    if not seen:
        return Sight(name, "warn", "shows neither energy nor power", _WHY, "name what of it does, in its settings")
    return Sight(name, "ok", ", ".join(seen), _WHY)


def sights(host: HostFile, deadline_s: float = DEADLINE_S) -> list[Sight]:
    """Try every meter of a host file; for ``doctor``."""
    specs = [MeterSpec(name, meter.kind, meter.domain, meter.settings) for name, meter in host.meter.items()]
    return [sight_of(trial) for trial in try_meters(specs, deadline_s)]


def _check_apart(meters: Sequence[MeterSpec], place: str) -> None:
    """Refuse two meters of a run that read the same, or that would set up one instrument twice: a sum of them is wrong."""
    for n, meter in enumerate(meters):
        for other in meters[:n]:
            if (meter.kind, meter.domain, meter.settings) == (other.kind, other.domain, other.settings):
                raise SuiteError(
                    f"{place}: meter.{meter.name}: reads what meter.{other.name} reads, and both would be added up; take one out"
                )
            address = meter.settings.get("address")
            if meter.kind == other.kind == "scpi" and address is not None and address == other.settings.get("address"):
                raise SuiteError(
                    f"{place}: meter.{meter.name}.settings.address: meter.{other.name} has it too, and an instrument is set up "
                    'for one input in a run: read the sum of its inputs by element = "SIGMA", or give each its own targets'
                )
