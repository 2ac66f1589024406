"""The answer in short: the best network of each device within each budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from edgevsr.reporting.markup import Child, Html, join, tag
from edgevsr.reporting.numbers import decibels, milliseconds
from edgevsr.reporting.parts import badge, facts
from edgevsr.reporting.results import Result, commonest_set


def fit_cards(results: Sequence[Result], budgets_fps: Sequence[float]) -> Html:
    """Return a card for each device, scale and LR frame: what is best within each budget.

    Best is the highest quality on one test set, then the fastest; kinds have cards of their own.
    """
    groups: dict[tuple[str, str | None, int, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.ms and result.scale and result.size:
            groups[result.kind, result.device, result.scale, result.size].append(result)
    if not groups:
        return tag("p", "No result has a time, a scale and a frame.", class_="note")
    cards = [
        tag(
            "article",
            tag("h3", badge(members[0].kind), " ", members[0].device),
            tag("p", f"×{scale}, LR frame {size}", class_="note"),
            facts({f"{fps:g} FPS": _best(members, 1e3 / fps) for fps in sorted(budgets_fps)}),
            class_="card",
        )
        for (_, _, scale, size), members in groups.items()
    ]
    return tag("div", cards, class_="cards")


def _best(members: Sequence[Result], limit_ms: float) -> Child:
    test_set = commonest_set(members) or ""
    inside = [each for each in members if each.ms and each.ms <= limit_ms and not each.hindered]
    if not inside:
        fastest = min(members, key=lambda each: each.ms or 0)
        why = ", which cannot run as it is" if fastest.hindered else ""
        return join(
            tag("b", "nothing given", class_="miss"),
            tag("span", f"; fastest {fastest.net}, {milliseconds(fastest.ms)}{why}", class_="soft"),
        )

    def rank(result: Result) -> tuple[float, float]:
        return result.psnr_y_db.get(test_set, 0.0), -(result.ms or 0)

    best = max(inside, key=rank)
    known = [milliseconds(best.ms)]
    if best.spread_ms and best.spread_ms[1] > limit_ms:
        known.append("its spread goes beyond")
    if test_set in best.psnr_y_db:
        known.append(f"{decibels(best.psnr_y_db[test_set])} on {test_set}")
    return join(tag("b", best.net), tag("span", f", {', '.join(known)}", class_="soft"))
