"""How many workers one step can use: where packs are few, several compute the shards of its mini-batch."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.driver.estimate import Estimate


@dataclass(frozen=True)
class Sharing:
    """What a step of a pack makes of the workers that are there.

    Attributes:
        share: workers that there are for a pack, its own included.
        used: those that a step can use.
        shards: of a mini-batch.
        better: the number of shards with which a step could use as many workers, more than now; None if
            there is no such number.
    """

    share: int
    used: int
    shards: int
    better: int | None


def sharing(one: Estimate, gradient_s: float, packs: int, workers: int, worth_s: float) -> Sharing:
    """How ``Scheduler`` shares out the workers, once it knows what a shard takes.

    Args:
        gradient_s: seconds for the gradient of a mini-batch of one trial.
        packs: of the whole sweep.
        workers: W.
        worth_s: a shard is worth a worker if it takes as long.
    """
    template, trials = one.structure.template, min(one.pack_size, one.structure.count)
    call_s = gradient_s * trials * (template.steps if template.mode == "probe" else 1)
    shards, share = template.batch.shards, -(-workers // packs)
    used = min(share, shards) if call_s / shards >= worth_s else 1
    most = min(share, one.samples)
    better = min(most, int(call_s / worth_s)) if worth_s else most
    return Sharing(share, used, shards, better if better > used else None)
