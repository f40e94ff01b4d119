"""Sentences of the procurement report that say why something is missing or open, as patterns; ``reasons`` recognises them."""

from __future__ import annotations

#: Key → sentence, written as in ``reasons``.
SENTENCES: tuple[tuple[str, str], ...] = (
    # report/procurement_offers
    ("no-latency-offline", "offline sends everything as one query, so it has no latencies"),
    ("no-peak-simulated", "a simulated device has no declared peak"),
    ("no-peak-of-device", "not measured: the hardware catalogue has no declared peak of '<words:.*>'"),
    ("no-throughput", "not measured: there is no throughput"),
    ("no-operations", "not measured: the operations an inference are not known"),
    ("backend-precision", "not measured: the backend chooses the precision, so that no declared peak is known to be its"),
    ("no-peak-of-precision", "not measured: no verified peak is declared for this precision, only for: <words:.*>"),
    ("not-measured-here", "not measured in this run"),
    ("other-domain", "the power of the <domain.> was not measured, only of: <domains*>"),
    ("no-meter", "not measured: no sensor or meter was read"),
    ("not-measured", "not measured"),
    ("run-status", "the run is <status:failed|skipped|invalid>"),
    # report/scoring, report/procurement_scores
    ("no-weights", "no requirement has a weight"),
    ("no-weight", "no weight"),
    ("other-precision", "asked of <asked.>, this candidate is <own.>"),
    ("not-run", "not run"),
    ("not-run-with-batch", "not run with a batch of <batch>"),
    ("spans-bound", "the interval spans the bound"),
    ("run-invalid", "the run is invalid: <words*>"),
    ("undecided", "nothing is decided by this run: <why.>"),
    ("no-reference", "no reference is named"),
    ("no-reference-run", "the reference was not run here"),
    ("incomparable", "not comparable with the reference: <why.>"),
    ("ratio-not-worked-out", "the ratio is not worked out in this report"),
    ("accuracy-unit", "the accuracy of this workload is in <own*>, the sheet asks for <asked*>"),
    # report/operating_cost, report/procurement_costs, report/sizing
    ("no-pue", "no operator-declared PUE: see the table of sensitivity"),
    ("no-price", "the cost file has no price of this target"),
    ("no-server-run", "not run in the server scenario"),
    ("no-bound", "the run has no latency bound"),
    ("looser-bound", "certified at a bound of <has> ms, the service asks for <asked> ms: nothing is extrapolated"),
    ("looser-percentile", "certified at percentile <has>, the service asks for <asked>: nothing is extrapolated"),
    ("no-certified-rate", "no certified rate"),
    ("no-reference-rate", "the reference has no certified rate"),
    ("rate-zero", "the certified rate is not above 0"),
    # report/procurement_summary, report/procurement_places
    ("no-service", "the cost file names no service"),
    ("no-sheet", "no requirement sheet is given"),
    ("no-costs", "no cost file is given"),
    ("no-energy-measured", "no energy was measured"),
    ("not-kept", "not kept"),
    ("few-queries", "too few queries"),
)
