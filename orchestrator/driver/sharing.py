"""How many workers a step can use. Where packs are few, several workers share its shards."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.driver.estimate import Estimate


@dataclass(frozen=True)
class Sharing:
    """How a step of a pack uses the workers.

    Attributes:
        share: number of workers for a pack, its own included.
        used: how many of them a step can use.
        shards: number of shards of a mini-batch.
        better: number of shards with which a step could use more workers, one for each shard; None if no
            number does.
    """

    share: int
    used: int
    shards: int
    better: int | None


def sharing(estimate: Estimate, gradient_s: float, packs: int, workers: int, worth_s: float) -> Sharing:
    """Predicts how ``Scheduler`` shares out the workers once it knows how long a shard takes.

    Args:
        gradient_s: seconds for one trial's gradient of a mini-batch.
        packs: number of packs of the whole sweep.
        workers: W.
        worth_s: seconds from which a shard is worth a worker.
    """
    template, trials = estimate.structure.template, min(estimate.pack_size, estimate.trials)
    call_s = gradient_s * trials * (template.steps if template.mode == "probe" else 1)
    shards, share = template.batch.shards, -(-workers // packs)
    used = min(share, shards) if call_s / shards >= worth_s else 1
    most = min(share, estimate.samples)
    better = min(most, int(call_s / worth_s)) if worth_s else most
    return Sharing(share, used, shards, better if better > used else None)
