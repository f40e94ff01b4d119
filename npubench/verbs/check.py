"""``npubench check``: whether a plug-in can be trusted, check by check, in its own interpreter."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape

from npubench.contract.availability import Rung
from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.measure.survey import Survey, survey
from npubench.plan.suite import HostFile
from npubench.testing.conformance.checks import CHECKS, chosen
from npubench.testing.conformance.order import QUERIES, Order
from npubench.testing.conformance.supervisor import examine, plain
from npubench.testing.conformance.verdict import FAILED, NOTED, PASSED, SKIPPED, Check, Result
from npubench.verbs.console import Steps, data, err, out
from npubench.verbs.devices import places_of
from npubench.verbs.junit import write_junit

#: The workload whose model is used unless another is named: a few exact integers, which every runtime takes.
_WORKLOAD = "probe"

#: Status → how it is shown; text and sign, so that nothing is said by colour alone.
_SIGNS = {PASSED: "[green]✔[/]", FAILED: "[red]✘[/]", NOTED: "[yellow]▲[/]", SKIPPED: "[blue]–[/]"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was given; see its help.

    ``options`` and ``env`` are ``KEY=VALUE`` texts; ``deadline`` is in seconds, None = each check's own.
    """

    backend: str
    device: str = ""
    options: Sequence[str] = ()
    artefact: Path | None = None
    workload: str = ""
    model: Path | None = None
    python: str = ""
    env: Sequence[str] = ()
    ep_library: str = ""
    only: Sequence[str] = ()
    queries: int = QUERIES
    deadline: float | None = None
    as_json: bool = False
    junit: Path | None = None


@dataclass(slots=True)
class _Tally:
    """What was found so far."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def count(self, status: str) -> int:
        return sum(each["status"] == status for each in self.found)

    @property
    def missing(self) -> list[str]:
        """What skipped checks lacked: ``device``, ``artefact`` …, most often first."""
        lacked = [each["missing"] for each in self.found if each["missing"]]
        return sorted(set(lacked), key=lacked.count, reverse=True)


def check_backend(asked: Asked) -> int:
    """Carry the checks out and show what they found.

    Returns:
        The exit code: 0 no check failed, 1 some did.

    Raises:
        InputError: The backend, a device, an option, a check, a workload or a file that was named cannot be used.
    """
    checks = chosen(asked.only)
    env = _pairs("--env", asked.env) | dict(places_of(HostFile(schema_version=1), asked.ep_library)[0].env)
    options = {key: _value(text) for key, text in _pairs("--option", asked.options).items()}
    with err.status(f"looking at {escape(asked.backend)}"):
        seen = survey(asked.backend, asked.python, env, [options])
    _refuse(asked, seen)
    tally = _Tally()
    with tempfile.TemporaryDirectory(prefix="npubench-check-") as folder:
        order = Order(
            backend=asked.backend,
            device=asked.device,
            options=options,
            artefact=str(asked.artefact.absolute()) if asked.artefact else "",
            bundle=_bundle(asked),
            work=folder,
            queries=asked.queries,
        )
        _go_through(order, checks, asked, env, tally)
    subject = f"{asked.backend}:{_device(asked, seen)}".rstrip(":")
    if asked.junit is not None:
        write_junit(asked.junit, subject, tally.found)
    if asked.as_json:
        data(json.dumps(_plain(asked, seen, tally), indent=1, ensure_ascii=False))
    else:
        _sum_up(subject, seen, tally)
    return 1 if tally.count(FAILED) else 0


def _refuse(asked: Asked, seen: Survey) -> None:
    """Raise InputError for what the user got wrong; what the plug-in gets wrong is for the checks to say."""
    if asked.backend not in seen.known:
        if not seen.known:
            raise InputError(seen.availability.reason or f"backend '{asked.backend}': the interpreter has no backends")
        where = f" in '{asked.python}'" if asked.python else ""
        raise InputError(f"there is no backend '{asked.backend}'{where}{nearest(asked.backend, seen.known)}")
    if any(seen.option_errors):
        raise InputError(f"backend '{asked.backend}': --option: {next(filter(None, seen.option_errors))}")
    devices = [device.name for device in seen.availability.devices]
    if asked.device and seen.availability.rung is Rung.READY and asked.device not in devices:
        raise InputError(f"backend '{asked.backend}' has no device '{asked.device}'{nearest(asked.device, devices)}")
    if asked.artefact is not None and not asked.artefact.exists():
        raise InputError(f"--artefact {asked.artefact}: there is no such file")
    if asked.model is not None and asked.workload:
        raise InputError("--model and --workload: give one of them")


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise InputError(f"{flag} {text}: write it as KEY=VALUE")
        found[key] = value
    return found


def _value(text: str) -> Any:
    """Read an option's value as TOML would have it: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _bundle(asked: Asked) -> str:
    """Return the folder of the bundle that gives model and inputs; "" where inputs are drawn."""
    from npubench.plan.bundles import prepare
    from npubench.plan.wheels import npubench_cache

    if asked.model is not None:
        from npubench.plan.usermodel import bundle_for_model  # ONNX, which a ready bundle does without

        return str(bundle_for_model(asked.model, npubench_cache(), progress=_tell).root.absolute())
    if asked.artefact is not None and not asked.workload:
        return ""
    return str(prepare(asked.workload or _WORKLOAD, npubench_cache(), progress=_tell).root.absolute())


def _tell(text: str) -> None:
    err.print(f"[dim]{escape(text)}[/]", soft_wrap=True)


def _go_through(order: Order, checks: Sequence[Check], asked: Asked, env: Mapping[str, str], tally: _Tally) -> None:
    """Have every check carried out, showing each as it ends."""
    steps = Steps(len(checks), "checking")
    known = {check.name: check for check in CHECKS}
    # On a terminal lines go where the bar is, so that neither is drawn over the other.
    say = err if err.is_terminal and out.is_terminal else out
    left_out: list[tuple[Check, Result]] = []
    with steps.shown():
        steps.now(checks[0].name)
        for n, result in enumerate(examine(order, checks, asked.python, env, asked.deadline)):
            check = known[result.name]
            tally.found.append(plain(result, check))
            steps.step()
            last = n + 1 == len(checks)
            if not last:
                steps.now(checks[n + 1].name)
            if asked.as_json:
                continue
            if not n or check.family != checks[n - 1].family:
                say.print(f"[bold]{check.family}[/]")
            if result.status == SKIPPED:
                left_out.append((check, result))
            else:
                for line in _lines(check, result):
                    say.print(line, soft_wrap=True)
            if last or checks[n + 1].family != check.family:
                for line in _left_out(left_out):
                    say.print(line, soft_wrap=True)
                left_out.clear()


def _lines(check: Check, result: Result) -> list[str]:
    """Return a check for people: a line, and two more where it failed."""
    seen = escape(" ".join(result.seen.split()))
    head = f"  {_SIGNS[result.status]} {_what(check):<12}"
    if result.status == FAILED:
        return [
            f"{head} [red]{escape(check.expected)}[/]",
            f"      seen  {seen}",
            f"      do    {escape(check.advice)}",
        ]
    return [f"{head} {_shortened(seen) if result.status == PASSED else seen}"]


def _left_out(skipped: Sequence[tuple[Check, Result]]) -> list[str]:
    """Return the skipped checks of a family, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for check, result in skipped:
        lack = _NEEDED.get(result.missing, "")
        reasons.setdefault(f"not seen without {lack}" if lack else escape(result.seen), []).append(_what(check))
    return [f"  {_SIGNS[SKIPPED]} {', '.join(names):<11}  [dim]{reason}[/]" for reason, names in reasons.items()]


def _what(check: Check) -> str:
    return check.name.partition("/")[2]


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


#: How much of what a passed check saw is shown; ``--json`` has all of it.
_WIDEST = 110

#: What a skipped check lacked, for people.
_NEEDED = {
    "plugin": "a plug-in that can be imported",
    "device": "a device",
    "artefact": "an artefact",
    "executor": "an executor that loads",
}


def _sum_up(subject: str, seen: Survey, tally: _Tally) -> None:
    """Say in a line or two what the checks amount to."""
    failed, skipped = tally.count(FAILED), [each for each in tally.found if each["missing"] not in ("", "sensors")]
    looked_at = tally.count(PASSED) + tally.count(NOTED) + failed
    noted = f", {tally.count(NOTED)} worth a look" if tally.count(NOTED) else ""
    out.print()
    if failed:
        names = ", ".join(each["name"] for each in tally.found if each["status"] == FAILED)
        out.print(f"[red]✘ {escape(subject)} does not conform: {failed} of {looked_at} checks failed[/]{noted}", soft_wrap=True)
        out.print(f"  {names}", soft_wrap=True)
    elif skipped:
        lack = _NEEDED.get(skipped[0]["missing"], skipped[0]["missing"])
        out.print(
            f"[yellow]▲ {escape(subject)} conforms as far as it can be seen without {lack}: "
            f"{looked_at} checks passed{noted}, {len(skipped)} need {lack}[/]",
            soft_wrap=True,
        )
    else:
        not_his = tally.count(SKIPPED)
        rest = f"; {not_his} do not concern it" if not_his else ""
        out.print(f"[green]✔ {escape(subject)} conforms: {looked_at} checks passed[/]{noted}{rest}", soft_wrap=True)
    if any(each["missing"] == "device" for each in tally.found):
        found = seen.availability
        out.print(f"  {found.rung.word}: {escape(found.reason)}", soft_wrap=True)
        if found.advice:
            out.print(f"  do    {escape(found.advice)}", soft_wrap=True)
    elif skipped and not failed:
        out.print(f"  {escape(str(skipped[0]['seen']))}", soft_wrap=True)


def _device(asked: Asked, seen: Survey) -> str:
    return asked.device or next((device.name for device in seen.availability.devices), "")


def _plain(asked: Asked, seen: Survey, tally: _Tally) -> dict[str, Any]:
    found = seen.availability
    return {
        "backend": asked.backend,
        "device": _device(asked, seen),
        "interpreter": asked.python,
        "availability": {"rung": found.rung.word, "reason": found.reason, "advice": found.advice},
        "plugin": dict(seen.plugin),
        "conforms": not tally.count(FAILED),
        "complete": not [need for need in tally.missing if need != "sensors"],
        "counts": {status: tally.count(status) for status in (PASSED, FAILED, NOTED, SKIPPED)},
        "checks": tally.found,
    }
