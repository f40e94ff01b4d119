"""The process stays the harness's: no function of its own replaced, no clock bent, no answers read."""

from __future__ import annotations

from npubench.analyze.audits.facts import AuditFacts, not_carried_out, observation, verdict
from npubench.analyze.audits.verdict import Audit

NAME, REST = "own-process", "idle-baseline"

#: How far the clock that stamps may lie outside of two readings of the kernel's: it is the same clock, and no wait counts.
MOST_OFF_NS = 50_000
#: How far the window may reach over the kernel's own account of it.
_WINDOW_NS = 1_000_000
#: CPU time after ``close``, in cores, above which something goes on working. A runtime's idle threads take none.
MOST_AFTER_CLOSE = 0.25


def judge_own_process(facts: AuditFacts) -> Audit:
    """Fail where something was reached for that is not the plug-in's own.

    Replaced functions of Python's clocks, of LoadGen or of the harness; a clock that lies; a window that the kernel's clock
    does not hold; files of the bundle that no plug-in needs (samples, labels, reference answers); threads that go on working
    after ``close``. Threads that merely are still there are the finding ``residue``: some runtimes keep their pool.
    """
    required = "functions, clock and files of the harness left alone, and nothing at work after close"
    seen, why = observation(facts, NAME)
    if why:
        return not_carried_out(NAME, why, required)
    changed, opened = [str(name) for name in seen["changed"]], [str(name) for name in seen["opened"]]
    off, start, end = seen["clock_off_ns"], int(seen["kernel_start_ns"]), int(seen["kernel_end_ns"])
    outside = max(start - facts.trace.start_ns, facts.trace.end_ns - end, 0) if start and end else 0
    rest = facts.observations.get(REST, {})
    after = float(rest.get("cpu_s", 0.0)) / float(rest["wall_s"]) if rest.get("wall_s") else 0.0
    told = [
        ("replaced", f"replaced: {', '.join(changed)}", bool(changed)),
        ("opened", f"opened: {', '.join(opened)}", bool(opened)),
        ("clock", f"the clock is {(off or 0) / 1e3:.3g} µs off the kernel's", off is not None and int(off) > MOST_OFF_NS),
        ("window", f"the window lies {outside / 1e6:.3g} ms outside of the kernel's account", outside > _WINDOW_NS),
        ("after-close", f"{after:.2g} cores at work after close", after > MOST_AFTER_CLOSE),
    ]
    wrong = [(what, text) for what, text, is_wrong in told if is_wrong]
    evidence = {
        "what": ", ".join(what for what, _ in wrong),
        "changed": ", ".join(changed),
        "opened": ", ".join(opened),
        "clock_off_ns": off,
        "outside_ns": outside,
        "after_close": after,
        "looked_at": int(seen["looked_at"]),
        "opens_watched": str(seen["opens_watched"]),
    }
    observed = "; ".join(text for _, text in wrong) or f"{evidence['looked_at']} names as they were, nothing opened"
    return verdict(NAME, bool(wrong), observed, required, evidence)
