"""Two of five: five reviewers look at once, the first two that approve decide, the others are cancelled.

makespan run examples/quorum.py -i change="Delete the table of customers."
"""

from dataclasses import dataclass

import makespan as ms

VIEWS = ("security", "speed", "cost", "readability", "privacy")


@dataclass(frozen=True)
class Review:
    approve: bool
    why: str


@ms.prompt(max_tokens=60)
def review(change: str, view: str) -> Review:
    ms.chat(change, system=f"Review this change only for its {view}.")


@ms.task(effect="pure")
def accepted(reviews: list[Review]) -> str:
    return "accepted: " + "; ".join(review.why for review in reviews)


@ms.task(effect="pure")
def refused(change: str) -> str:
    return f"no quorum for: {change}"


@ms.workflow
def quorum(change: str) -> str:
    two = ms.first(*[review(change, view) for view in VIEWS], n=2, accept="value.approve")
    has_quorum = "value.status == 'succeeded'"
    return ms.when(ms.outcome(two), lambda: accepted(two), lambda: refused(change), test=has_quorum)
