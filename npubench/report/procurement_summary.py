"""What a reader who is no engineer decides by: one table and a few sentences, all of it taken from the sections behind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate, absent
from npubench.report.audit_states import failed_audits
from npubench.report.document import Block, Cell, Column, Grid, Mark, Notice, Phrase, Points, Row, Section, Text
from npubench.report.efficiency import POLICY
from npubench.report.page import Subject
from npubench.report.procurement_detail import detailed_runs, some_names
from npubench.report.procurement_offers import Lineup, Standing
from npubench.report.procurement_others import scale_notices
from npubench.report.procurement_scores import ends_of, verdict_mark
from npubench.report.requirements import Sheet
from npubench.report.scoring import Score
from npubench.report.sizing import Sized


@dataclass(frozen=True, slots=True)
class Efficiency:
    """A candidate's samples a joule against the reference over all places where both have the same evidence of the same domain.

    Args:
        ratio: The geometric mean of the ratios, its ends those of the intervals; or why there is none.
        places: In how many places.
        met: In how many of them the policy's line is certainly reached.
        missed: In how many it is certainly missed.
        least: The lowest of the ratios.
        runs: The runs behind it.
    """

    ratio: Estimate
    places: int
    met: int
    missed: int
    least: float | None
    runs: tuple[str, ...]


def efficiency_of(lineup: Lineup, offer: str) -> Efficiency:
    """Return a candidate's efficiency against the reference over all places."""
    if not lineup.reference:
        return Efficiency(absent("times", "no reference is named"), 0, 0, 0, None, ())
    pairs = [(s, line) for s in _standings(lineup, offer) if (line := s.compared()) is not None]
    known = [(s, line.ratio, line.policy) for s, line in pairs if line.ratio is not None and line.ratio.value]
    if not known:
        why = next((line.ratio.reason for _, line in pairs if line.ratio is not None and line.ratio.reason), "")
        reason = f"not comparable with the reference: {why}" if why else "no energy was measured"
        return Efficiency(absent("times", reason), 0, 0, 0, None, ())
    middle, low, high = (
        _geometric([float(getattr(ratio, end) or ratio.value or 0.0) for _, ratio, _ in known])
        for end in ("value", "low", "high")
    )
    return Efficiency(
        ratio=Estimate(middle, "times", low, high),
        places=len(known),
        met=sum(policy == "met" for _, _, policy in known),
        missed=sum(policy == "missed" for _, _, policy in known),
        least=min(float(ratio.value or 0.0) for _, ratio, _ in known),
        runs=tuple(dict.fromkeys(run for standing, _, _ in known for run in standing.runs)),
    )


def _geometric(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _standings(lineup: Lineup, offer: str) -> list[Standing]:
    return [standing for spot in lineup.spots if (standing := spot.of(offer)) is not None]


def summary_section(
    lineup: Lineup, sheet: Sheet | None, scores: Sequence[Score], sized: Sequence[Sized], has_costs: bool
) -> Section:
    """Return the summary.

    Args:
        lineup: Candidates and places.
        sheet: The requirement sheet, or ``None``.
        scores: A candidate's score, in order of candidates; empty without a sheet.
        sized: Candidates sized for the cost file's first service; empty without one.
        has_costs: Whether there is a cost file.
    """
    candidates = [subject for subject in lineup.offers if subject.key != lineup.reference]
    efficiencies = {subject.key: efficiency_of(lineup, subject.key) for subject in lineup.offers}
    blocks: list[Block] = []
    if not any(not s.decides and s.cell.status == "ok" for spot in lineup.spots for s in spot.standings):
        blocks.append(Notice("stop", Phrase("procurement.summary.nothing-decides")))
    blocks += _failed_audits(lineup)
    blocks += scale_notices(lineup)
    if not lineup.reference:
        blocks.append(Notice("note", Phrase("procurement.summary.no-reference")))
    if not candidates:
        blocks.append(Notice("warning", Phrase("procurement.score.nobody")))
    else:
        blocks.append(Points(tuple(_sentences(lineup, candidates, sheet, scores, sized, efficiencies))))
        by_score, by_size = {score.offer: score for score in scores}, {each.offer: each for each in sized}
        rows = [
            _row(
                lineup,
                subject,
                by_score.get(subject.key),
                by_size.get(subject.key),
                efficiencies[subject.key],
                has_costs,
            )
            for subject in candidates
            if subject.key not in lineup.unlisted
        ]
        blocks.append(_grid(lineup, rows))
    return Section("summary", Phrase("document.summary"), tuple(blocks))


def _failed_audits(lineup: Lineup) -> Iterator[Notice]:
    """Yield a sentence for every candidate that failed an audit; of those without a row in the tables one for all."""
    caught = {subject.key: sum(map(_caught, _standings(lineup, subject.key))) for subject in lineup.offers}
    for subject in lineup.listed:
        if number := caught[subject.key]:
            names = ", ".join(_audits(lineup, subject.key))
            sentence = Phrase("procurement.summary.audit-failed", {"name": subject.label, "number": number, "audits": names})
            yield Notice("stop", sentence)
    if rest := [key for key in lineup.unlisted if caught[key]]:
        values = {"count": len(rest), "number": sum(caught[key] for key in rest)}
        yield Notice("stop", Phrase("procurement.others.audit-failed", values))


def _grid(lineup: Lineup, rows: Sequence[Row]) -> Grid:
    remarks = [Phrase("procurement.summary.remark")]
    if lineup.reference:
        remarks.append(Phrase("procurement.summary.policy", {"policy": POLICY, "reference": lineup.label(lineup.reference)}))
    return Grid(
        name="summary",
        caption=Phrase("procurement.summary.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.verdict")),
            Column(Phrase("procurement.column.score"), True),
            Column(Phrase("procurement.column.efficiency-ratio"), True),
            Column(Phrase("procurement.column.policy", {"policy": POLICY})),
            Column(Phrase("procurement.column.cost"), True),
            Column(Phrase("procurement.column.caveat")),
        ),
        rows=tuple(rows),
        remarks=tuple(remarks),
    )


def _row(
    lineup: Lineup, subject: Subject, score: Score | None, sized: Sized | None, efficiency: Efficiency, has_costs: bool
) -> Row:
    standings = _standings(lineup, subject.key)
    runs = detailed_runs(standings)
    scored = tuple(dict.fromkeys(run for judged in score.lines for run in judged.runs)) if score is not None else ()
    certain = absent("points", "no requirement sheet is given") if score is None else ends_of(score)[0]
    possible = None
    if score is not None and score.score.value is not None and score.score.high != score.score.low:
        possible = Phrase("procurement.summary.possible", {"points": score.score.high})
    cost = (
        absent("KRW", "the cost file names no service" if has_costs else "no cost file is given")
        if sized is None
        else sized.total
    )
    return Row(
        Cell(Text(subject.label), runs, Phrase("document.simulated") if subject.simulated else None),
        (
            Cell(verdict_mark(score.verdict) if score is not None else Phrase("procurement.summary.no-sheet"), scored),
            Cell(certain, scored, possible),
            Cell(efficiency.ratio, efficiency.runs, _over(efficiency)),
            Cell(_policy(efficiency), efficiency.runs),
            Cell(cost, sized.runs if sized is not None else (), _behind(sized)),
            Cell(caveat(lineup, subject, standings), runs),
        ),
    )


def _behind(sized: Sized | None) -> Phrase | None:
    """Return whose power a cost is of, or that it is of runs that nothing may be decided by."""
    if sized is None or sized.total.value is None:
        return None
    if sized.doubt:
        return Phrase("procurement.undecided", {"why": sized.doubt})
    return Phrase("procurement.summary.power-of", {"domain": sized.domain})


def _over(efficiency: Efficiency) -> Phrase | None:
    if efficiency.least is None:
        return None
    return Phrase("procurement.summary.over", {"places": efficiency.places, "least": efficiency.least})


def _policy(efficiency: Efficiency) -> Mark:
    if not efficiency.places:
        return Mark("open", Phrase("procurement.policy.unknown"))
    values = {"met": efficiency.met, "all": efficiency.places}
    if efficiency.met == efficiency.places:
        return Mark("pass", Phrase("procurement.policy.everywhere", values))
    if efficiency.missed == efficiency.places:
        return Mark("fail", Phrase("procurement.policy.nowhere", values))
    return Mark("open", Phrase("procurement.policy.partly", values))


def caveat(lineup: Lineup, subject: Subject, standings: Sequence[Standing]) -> Phrase:
    """Return the gravest thing that a reader must know of a candidate: one, the first of a fixed order."""
    count = len(standings)
    doubts = [standing.decides for standing in standings]
    absent_places = len(lineup.spots) - count
    for name, number in (
        ("simulated", count if subject.simulated else 0),
        ("audit", sum(map(_caught, standings))),
        ("failed", doubts.count("failed")),
        ("invalid", doubts.count("invalid")),
        ("smoke", doubts.count("smoke")),
        ("skipped", doubts.count("skipped")),
        ("host-operators", doubts.count("host-operators")),
        ("incomplete", doubts.count("incomplete")),
        ("accuracy", sum(_below(standing) for standing in standings)),
        ("not-run", absent_places),
        ("no-energy", sum(not standing.energy.lines for standing in standings)),
        ("unlike", sum(bool(s.cell.ratio and s.cell.ratio.unlike) for s in standings) if lineup.reference else 0),
        ("warnings", sum(any(f.severity == "warning" for f in s.cell.findings) for s in standings)),
    ):
        if number:
            return Phrase(
                f"procurement.caveat.{name}", {"number": number, "all": count if name != "not-run" else len(lineup.spots)}
            )
    return Phrase("procurement.caveat.none")


def _caught(standing: Standing) -> bool:
    """Return whether an audit of a candidate failed in a place, so that it is ranked nowhere there."""
    return any(failed_audits(record) for record in standing.records)


def _audits(lineup: Lineup, offer: str) -> list[str]:
    """Return the audits that a candidate failed anywhere."""
    records = (record for standing in _standings(lineup, offer) for record in standing.records)
    return list(dict.fromkeys(audit.name for record in records for audit in failed_audits(record)))


def _below(standing: Standing) -> bool:
    """Return whether a run's accuracy is certainly below what its workload's gate asks for."""
    found, bundle = standing.cell.accuracy, standing.records[0].bundle
    if found is None or found.value is None:
        return False
    return found.value < bundle.required if bundle.higher_is_better else found.value > bundle.required


def _sentences(
    lineup: Lineup,
    candidates: Sequence[Subject],
    sheet: Sheet | None,
    scores: Sequence[Score],
    sized: Sequence[Sized],
    efficiencies: dict[str, Efficiency],
) -> list[Phrase]:
    found = [Phrase("procurement.summary.scope", {"candidates": len(candidates), "places": len(lineup.spots)})]

    def names(keys: Sequence[str]) -> str:
        return some_names(lineup, [lineup.label(key) for key in keys])

    if sheet is not None:
        passed = [score.offer for score in scores if score.verdict == "pass"]
        open_ = [score.offer for score in scores if score.verdict == "open"]
        failed = [score.offer for score in scores if score.verdict == "fail"]
        for key, who in (("passed", passed), ("open", open_), ("failed", failed)):
            if who:
                found.append(Phrase(f"procurement.summary.{key}", {"names": names(who), "number": len(who)}))
        first = [score.offer for score in scores if score.rank == 1]
        if first:
            found.append(
                Phrase("procurement.summary.tied" if len(first) > 1 else "procurement.summary.first", {"names": names(first)})
            )
        else:
            found.append(Phrase("procurement.summary.no-ranking"))
    met = [key for key, each in efficiencies.items() if key != lineup.reference and each.places and each.met == each.places]
    if lineup.reference and met:
        found.append(Phrase("procurement.summary.policy-met", {"names": names(met), "policy": POLICY}))
    elif lineup.reference:
        found.append(Phrase("procurement.summary.policy-not-met", {"policy": POLICY}))
    known = [each for each in sized if each.total.value is not None and not each.doubt and each.offer != lineup.reference]
    able = {each.offer: float(each.total.value or 0.0) for each in known}
    # What a card draws and what a server draws are not the same thing to pay for.
    if len(able) > 1 and len({each.domain for each in known}) == 1:
        cheapest = min(able, key=lambda key: able[key])
        found.append(Phrase("procurement.summary.cheapest", {"names": lineup.label(cheapest), "cost": able[cheapest]}))
    return found
