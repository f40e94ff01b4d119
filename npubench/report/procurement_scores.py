"""The requirement sheet line by line: what was asked, what was measured, what follows, and how the score comes about."""

from __future__ import annotations

from collections.abc import Mapping

from npubench.analyze.estimate import Estimate, absent
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Reason,
    Row,
    Section,
    Setting,
    Sign,
    Text,
)
from npubench.report.procurement_detail import MOST_LINES, MOST_RATIOS, order_of
from npubench.report.procurement_offers import Lineup
from npubench.report.requirements import RATIOS, Line, Sheet
from npubench.report.scoring import Judged, Score, Verdict

#: What stands beside a verdict.
SIGNS: Mapping[Verdict, Sign] = {"pass": "pass", "fail": "fail", "open": "open", "missing": "missing"}


def score_section(lineup: Lineup, sheet: Sheet, scores: tuple[Score, ...]) -> Section:
    """Return the section of the requirement sheet."""
    blocks: list[Block] = [
        Paragraph(
            (
                Phrase("procurement.score.lead", {"sheet": sheet.name, "lines": len(sheet.lines)}),
                Phrase("procurement.score.how"),
                *([] if lineup.whole else [Phrase("procurement.others.scored", {"all": len(scores), "most": MOST_RATIOS})]),
            )
        )
    ]
    if not scores:
        blocks.append(Notice("warning", Phrase("procurement.score.nobody")))
    else:
        blocks += [_asked(sheet), _overview(lineup, scores)]
    worked = _worked_out(lineup, sheet, scores)
    if len(worked) < len(scores):
        blocks.append(Notice("note", Phrase("procurement.others.worked", {"number": len(worked), "all": len(scores)})))
    return Section(
        name="requirements",
        heading=Phrase("procurement.score.heading"),
        blocks=tuple(blocks),
        sections=tuple(_candidate(lineup, sheet, score, n) for n, score in enumerate(scores, start=1) if score.offer in worked),
    )


def _worked_out(lineup: Lineup, sheet: Sheet, scores: tuple[Score, ...]) -> frozenset[str]:
    """Return the candidates whose score is worked out line by line: all, or the best of those with a row in the overview."""
    if lineup.whole:
        return frozenset(score.offer for score in scores)
    listed = sorted((s for s in scores if s.offer not in lineup.unlisted), key=order_of)
    return frozenset(score.offer for score in listed[: max(1, MOST_LINES // len(sheet.lines))])


def verdict_mark(verdict: Verdict | None) -> Mark | Phrase:
    """Return a verdict as a mark; words alone where no line is mandatory."""
    if verdict is None:
        return Phrase("procurement.score.no-mandatory")
    return Mark(SIGNS[verdict], Phrase(f"procurement.verdict.{verdict}"))


def bound(line: Line, value: float | None) -> Setting | None:
    """Return a bound as a figure in the record's unit, or nothing where it is not set."""
    if value is None:
        return None
    return Setting(value, line.unit or ("ratio" if line.asked.unit in ("", "%", "share", "ratio") else line.asked.unit))


def what(line: Line) -> Phrase:
    """Return what a line asks for, in words."""
    asked = line.asked
    named = "-".join(name for name, value in (("domain", asked.domain), ("batch", asked.batch)) if value)
    values = {"metric": asked.metric, "domain": asked.domain or "", "workload": asked.workload, "scenario": asked.scenario}
    return Phrase(f"procurement.asked.{named}" if named else "procurement.asked", {**values, "batch": asked.batch})


def _asked(sheet: Sheet) -> Grid:
    rows = []
    for line in sheet.lines:
        asked = line.asked
        share = (
            absent("share", "no weight")
            if not sheet.weight or not asked.weight
            else Estimate(asked.weight / sheet.weight, "share")
        )
        rows.append(
            Row(
                Cell(Phrase("procurement.line", {"number": line.number})),
                (
                    Cell(what(line), remark=Phrase("procurement.note", {"note": asked.note}) if asked.note else None),
                    Cell(Phrase(f"precision.{asked.precision}") if asked.precision else Phrase("procurement.any")),
                    Cell(bound(line, line.low)),
                    Cell(bound(line, line.high)),
                    Cell(Phrase("procurement.yes") if asked.mandatory else Phrase("procurement.no")),
                    Cell(Setting(asked.weight) if asked.weight else None),
                    Cell(share),
                    Cell(_points_rule(line)),
                ),
            )
        )
    return Grid(
        name="requirements-asked",
        caption=Phrase("procurement.score.asked", {"sheet": sheet.name}),
        columns=(
            Column(Phrase("procurement.column.line")),
            Column(Phrase("document.column.required")),
            Column(Phrase("document.column.precision")),
            Column(Phrase("procurement.column.min"), True),
            Column(Phrase("procurement.column.max"), True),
            Column(Phrase("procurement.column.mandatory")),
            Column(Phrase("procurement.column.weight"), True),
            Column(Phrase("procurement.column.share"), True),
            Column(Phrase("procurement.column.rule")),
        ),
        rows=tuple(rows),
    )


def _points_rule(line: Line) -> Phrase:
    if not line.asked.weight:
        return Phrase("procurement.rule.none")
    if line.asked.full is None:
        return Phrase("procurement.rule.bound")
    return Phrase("procurement.rule.full", {"at": line.asked.at_bound or 0.0, "full": line.asked.full, "unit": line.asked.unit})


def _overview(lineup: Lineup, scores: tuple[Score, ...]) -> Grid:
    rows = []
    for score in scores:
        if score.offer in lineup.unlisted:
            continue
        counts = [sum(judged.verdict == verdict for judged in score.lines) for verdict in SIGNS]
        runs = tuple(dict.fromkeys(run for judged in score.lines for run in judged.runs))
        certain, possible = ends_of(score)
        rows.append(
            Row(
                Cell(Text(lineup.label(score.offer)), runs),
                (
                    Cell(verdict_mark(score.verdict), runs),
                    *(Cell(count, runs) for count in counts),
                    Cell(certain, runs),
                    Cell(possible, runs),
                    Cell(rank_mark(score), runs),
                ),
            )
        )
    return Grid(
        name="requirements-overview",
        caption=Phrase("procurement.score.overview"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.verdict")),
            *(Column(Phrase(f"procurement.verdict.{verdict}"), True) for verdict in SIGNS),
            Column(Phrase("procurement.column.score"), True),
            Column(Phrase("procurement.column.possible"), True),
            Column(Phrase("procurement.column.rank")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.score.remark"),),
    )


def ends_of(score: Score) -> tuple[Estimate, Estimate]:
    """Return the certain and the possible score of 100."""
    if score.score.value is None:
        return score.score, score.score
    return Estimate(score.score.low, "points"), Estimate(score.score.high, "points")


def rank_mark(score: Score) -> Mark | Phrase:
    """Return a rank by the score; ties are ties."""
    if score.rank is None:
        return Phrase("procurement.score.unranked")
    word = Phrase("procurement.rank.tied" if score.tied else "procurement.rank", {"rank": score.rank})
    return Mark("tie", word) if score.tied else Mark("best", word) if score.rank == 1 else word


def _candidate(lineup: Lineup, sheet: Sheet, score: Score, number: int) -> Section:
    rows = [_row(judged) for judged in score.lines]
    grid = Grid(
        name=f"requirements-{number}",
        caption=Phrase("procurement.score.candidate", {"candidate": lineup.label(score.offer)}),
        columns=(
            Column(Phrase("procurement.column.line")),
            Column(Phrase("document.column.required")),
            Column(Phrase("document.column.observed"), True),
            Column(Phrase("procurement.column.verdict")),
            Column(Phrase("procurement.column.part"), True),
            Column(Phrase("procurement.column.points"), True),
            Column(Phrase("procurement.column.possible"), True),
        ),
        rows=tuple(rows),
        remarks=(_sum(sheet, score),),
    )
    return Section(f"requirements-candidate-{number}", Text(lineup.label(score.offer)), (grid,))


def _row(judged: Judged) -> Row:
    line, weight = judged.line, judged.line.asked.weight
    return Row(
        Cell(Phrase("procurement.line", {"number": line.number}), judged.runs),
        (
            Cell(what(line), judged.runs, _bounds(line)),
            Cell(judged.value, judged.runs),
            Cell(
                Mark(SIGNS[judged.verdict], Phrase(f"procurement.verdict.{judged.verdict}")),
                judged.runs,
                Reason(judged.why) if judged.why else None,
            ),
            Cell(Estimate(judged.points, "share") if weight else None, judged.runs),
            Cell(Estimate(judged.points * weight, "") if weight else None, judged.runs),
            Cell(Estimate(judged.possible * weight, "") if weight else None, judged.runs),
        ),
    )


def _bounds(line: Line) -> Phrase:
    asked = line.asked
    unit = asked.unit or ("×" if asked.metric in RATIOS else "")
    values = {"min": asked.min, "max": asked.max, "unit": unit}
    if asked.min is not None and asked.max is not None:
        return Phrase("procurement.bounds.both", values)
    return Phrase("procurement.bounds.min" if asked.min is not None else "procurement.bounds.max", values)


def _sum(sheet: Sheet, score: Score) -> Phrase:
    if score.score.value is None:
        return Phrase("procurement.score.no-weight")
    got = sum(judged.points * judged.line.asked.weight for judged in score.lines)
    return Phrase("procurement.score.sum", {"points": got, "weight": sheet.weight, "score": score.score.value})
