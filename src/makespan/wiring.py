"""Puts one run together: machine, bodies, driver, attempts, and everything an engine lends them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.capacity import DEFAULT_ACCOUNT
from makespan.files import Room, sweep
from makespan.fingerprints import files_are_in, fingerprint_of
from makespan.handle import Run
from makespan.machine.broker import Broker
from makespan.machine.facts import RunStarted
from makespan.machine.machine import Machine
from makespan.machine.observations import Granted
from makespan.ports import World
from makespan.run_policies import RunPolicies
from makespan.runtime.attempts import Attempts, Interceptor, Workers
from makespan.runtime.caching import Awaited, RunCache
from makespan.runtime.committer import Committer
from makespan.runtime.drive import Clock, Driver
from makespan.runtime.emitting import Outbox
from makespan.runtime.lending import Lender
from makespan.services import EngineServices, RunPricing
from makespan.slots import RunSlots
from makespan.store_port import Journal
from makespan.traces.summary import summarise


@dataclass(frozen=True)
class Parts:
    """What all runs of one open engine share."""

    world: World
    journal: Journal
    committer: Committer
    store: str
    services: EngineServices
    broker: Broker
    room: Room
    awaited: Awaited
    salt: bytes
    """Mixed into cache keys where fakes answer: what they gave is for nobody else."""
    interceptors: tuple[Interceptor, ...]
    workers: Callable[[], Workers]
    policies: RunPolicies


def wire(
    parts: Parts,
    run: Run[Any],
    header: RunStarted,
    grant: Callable[[], None],
    on_end: Callable[[BaseException | None], None],
) -> None:
    """Give a run its machine, its driver and its attempts; nothing happens before `run.driver.begin`.

    Args:
        grant: hands freed units to those in line. on_end: hears of the end of this life, with what went wrong.
    """
    bodies = LiveBodies(run.registry, run.id, header.seed, header.started_wall_ns)
    pricing = RunPricing(run.code_of, parts.services)
    slots = RunSlots(
        parts.broker,
        parts.journal,
        parts.world,
        run.lease,
        grant,
        account=header.account or DEFAULT_ACCOUNT,
        tokens=pricing.worst_tokens,
        call_tokens=pricing.call_tokens,
    )
    parts.broker.weigh(run.id, header.weight)
    clock = Clock(parts.world, header.started_wall_ns, run.state.at)
    cache = RunCache(
        parts.journal,
        parts.world,
        run.lease,
        parts.awaited,
        fingerprint=fingerprint_of(run.registry, parts.services, parts.salt),
        has_files=files_are_in(parts.room),
        wake=lambda task: run.driver.post(Granted(clock(), task)),
    )
    policy, planner = parts.policies.of(header), parts.policies.planners.of(header)
    run.machine = Machine(
        run.state,
        bodies=bodies,
        pricing=pricing,
        slots=slots,
        cache=cache,
        policy=policy,
        plans=None if planner is None else planner.wants,
        estimates=parts.policies.profile,
    )
    run.bodies, run.slots, run.room, bodies.room = bodies, slots, parts.room, parts.room
    sweep(parts.room.work / run.id)
    run.driver = Driver(
        run.machine,
        run.lease,
        parts.world,
        parts.committer,
        clock,
        summary=lambda state: b"" if parts.store == "memory" else msgspec.json.encode(summarise(state)),
        on_end=lambda error: run.resources.then(lambda: on_end(error)),
        ledger=slots.take_changes,
        cache=cache.take_changes,
    )
    run.driver.planner = planner
    lender = Lender(parts.world, parts.journal, run.lease, lambda: not parts.committer.is_busy)
    run.outbox = Outbox(parts.world, run.lease, lender)
    run.driver.watchers.extend([*run.watchers, run.outbox.wake])
    run.driver.attempts = Attempts(
        parts.world,
        run.code_of,
        run.driver.post,
        clock,
        run_id=run.id,
        seed=header.seed,
        session=header.session,
        services=parts.services,
        workers=parts.workers,
        interceptors=parts.interceptors,
        outbox=run.outbox,
        resources=run.resources,
        cache=cache,
        files=str(parts.room.path),
        units=slots.units,
    )
    deadline = run.state.scopes[0].deadline_ns if run.state.scopes else header.deadline_ns
    if deadline is not None:
        run.driver.attempts.deadline_ns = header.started_wall_ns + deadline
    run.driver.attempts.scheduled = bodies.scheduled = (header.scheduled_ns, header.zone)
