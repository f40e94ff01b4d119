"""What a report of many candidates goes into: a reader decides among a few, and nobody reads thousands of rows.

Up to ``detail.MOST_DETAILED`` cells (a candidate in a place) are all detailed. Of more, each place (a workload in a scenario)
has its share: the reference, the candidates that the cost file has a price of, the ranked ones by rank, then the rest by how near
they are to having one. All others are counted, ranked and scored with these, by what their records say; they have a row in
``procurement_others``, and no trace or reading of theirs is opened but for a ratio that the requirement sheet asks for, of the
first :data:`MOST_RATIOS` by the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from npubench.contract.runspec import Scenario
from npubench.report.detail import MOST_NAMES, first_names, order_of_cell, share_out
from npubench.report.operating_cost import Costs
from npubench.report.page import Subject
from npubench.report.procurement_offers import Lineup, Place, Spot, Standing
from npubench.report.requirements import Sheet
from npubench.report.run_plots import MOST
from npubench.report.scoring import Score

#: As many ratios that the requirement sheet asks for are worked out from traces, detailed or not: each takes 4 ms.
MOST_RATIOS = 600
#: As many pictures are drawn where not all cells are detailed: each takes 8 to 12 kB, and its figures stand in tables as well.
MOST_PICTURES = 80
#: As many candidates have a row in the tables of candidates (summary, scores, trust, sizing) where not all cells are detailed.
MOST_CANDIDATES = 100
#: As many lines of the requirement sheet, over all candidates, are worked out on the page where not all cells are detailed.
MOST_LINES = 1000


@dataclass(frozen=True, slots=True)
class Interest:
    """What a buyer has asked about already.

    Args:
        places: Places of the requirement sheet, and of services to be sized.
        targets: Targets that the cost file has a price of.
        ratios: Places and batches (``None`` for the best) that the sheet asks the speed against the reference of.
    """

    places: frozenset[Place] = frozenset()
    targets: frozenset[str] = frozenset()
    ratios: frozenset[tuple[Place, int | None]] = frozenset()

    def asks_ratio(self, batch: int | None) -> frozenset[Place]:
        """Return the places that the sheet asks the speed against the reference of, by runs with one batch or the best."""
        return frozenset(place for place, of in self.ratios if of == batch)

    def of_batch(self, batch: int) -> Interest:
        """Return what is asked of runs with one batch by themselves."""
        return Interest(ratios=frozenset((place, None) for place in self.asks_ratio(batch)))


def interest_of(sheet: Sheet | None, costs: Costs | None) -> Interest:
    """Return what a requirement sheet and a cost file ask about."""
    asked = [line.asked for line in sheet.lines] if sheet is not None else []
    services = costs.file.service if costs is not None else ()
    return Interest(
        places=frozenset(
            [(each.workload, each.scenario) for each in asked]
            + [(service.workload, Scenario.SERVER.value) for service in services]
        ),
        targets=frozenset(device.target for device in costs.file.device) if costs is not None else frozenset(),
        ratios=frozenset(((each.workload, each.scenario), each.batch) for each in asked if each.metric == "speed_ratio"),
    )


def choose_detail(
    spots: Sequence[Spot], reference: str, subjects: Iterable[Subject], interest: Interest, most: int
) -> frozenset[tuple[Place, str]]:
    """Return what is detailed, as (place, candidate's key): ``most`` cells at most, each place its share (``detail.share_out``).

    Where there is not enough for all, those places come first that the buyer has asked about, then those with most candidates.
    """
    priced = frozenset(subject.key for subject in subjects if subject.target in interest.targets)
    orders = {spot.place: _order(spot, reference, priced) for spot in spots}
    return share_out(orders, [spot.place for spot in _in_turn(spots, interest)], most)


def choose_drawn(spots: Sequence[Spot], interest: Interest, most: int) -> frozenset[Place]:
    """Return the places whose figures are drawn as well: in the same turn, as many as have ``most`` pictures at most."""
    drawn = set()
    for spot in _in_turn(spots, interest):
        powered = [standing.energy.lines for standing in spot.detailed if standing.energy.lines]
        kinds = {(line.domain, line.evidence) for lines in powered for line in lines}
        # Latency, roofline, efficiency over throughput by each kind of evidence, and power over time.
        pictures = 2 + len(kinds) + min(len(powered), MOST)
        if spot.detailed and pictures <= most:
            drawn.add(spot.place)
            most -= pictures
    return frozenset(drawn)


def _in_turn(spots: Iterable[Spot], interest: Interest) -> list[Spot]:
    return sorted(spots, key=lambda spot: (spot.place not in interest.places, -len(spot.standings), spot.place))


def _order(spot: Spot, reference: str, priced: frozenset[str]) -> list[str]:
    """Return the candidates of a place by how much a buyer wants to see of them."""

    def key(standing: Standing) -> tuple[object, ...]:
        order = order_of_cell(standing.cell, standing.rank, spot.place[1])
        return (standing.offer != reference, standing.offer not in priced, *order)

    return [standing.offer for standing in sorted(spot.standings, key=key)]


def choose_unlisted(lineup: Lineup, scores: Sequence[Score], interest: Interest) -> frozenset[str]:
    """Return the candidates without a row in the tables of candidates; none where all cells are detailed.

    The reference, those that have a price, the best by the requirement sheet, and then those that are detailed most often have
    one.
    """
    if lineup.whole or len(lineup.offers) <= MOST_CANDIDATES:
        return frozenset()
    by_score = {score.offer: order_of(score) for score in scores}
    shown: dict[str, int] = {}
    for spot in lineup.spots:
        for standing in spot.detailed:
            shown[standing.offer] = shown.get(standing.offer, 0) + 1

    def key(subject: Subject) -> tuple[object, ...]:
        return (
            subject.key != lineup.reference,
            subject.target not in interest.targets,
            *by_score.get(subject.key, ()),
            -shown.get(subject.key, 0),
            subject.key,
        )

    # The reference has no score and stands before all keys that have one.
    return frozenset(subject.key for subject in sorted(lineup.offers, key=key)[MOST_CANDIDATES:])


def order_of(score: Score) -> tuple[bool, int, int, float, float]:
    """Return the order of candidates by the requirement sheet: by rank, else by verdict, certain and possible points."""
    verdict = ("pass", None, "open", "missing", "fail").index(score.verdict)
    return score.rank is None, score.rank or 0, verdict, -(score.score.low or 0.0), -(score.score.high or 0.0)


def some_names(lineup: Lineup, names: Sequence[str]) -> str:
    """Return names one after the other: all of them where the report goes into everything, else the first and how many more."""
    return first_names(names, lineup.whole)


def detailed_runs(standings: Iterable[Standing]) -> tuple[str, ...]:
    """Return the runs that a cell names which sums a candidate up in words: of all its standings that are detailed."""
    return tuple(dict.fromkeys(run for standing in standings if standing.detailed for run in standing.runs))


def cited_runs(lineup: Lineup, runs: Sequence[str]) -> tuple[str, ...]:
    """Return the runs that a cell names which counts many: all of them, or the first where not all cells are detailed."""
    return tuple(runs) if lineup.whole else tuple(runs[:MOST_NAMES])


def count_detailed(lineup: Lineup) -> Mapping[str, int]:
    """Return how many cells are detailed, and how many there are, for sentences."""
    cells = [standing.detailed for spot in lineup.spots for standing in spot.standings]
    return {"detailed": sum(cells), "all": len(cells), "others": len(cells) - sum(cells)}
