"""A run over many captures: what is new goes to the workers, what comes back goes into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from analyzer.fleet import processes
from analyzer.fleet.answer import Answer, Unchanged
from analyzer.fleet.store import Store
from analyzer.fleet.work import Setup


class Workers(Protocol):
    """Who does the work: answers in any order, each path once, and None when there is nothing new to tell."""

    def __call__(self, paths: Sequence[str], setup: Setup) -> Iterator[Answer | Unchanged | None]:
        """The answers on ``paths`` as they come."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: captures seen to, of those how many were known already, failed, and all there are."""

    done: int = 0
    known: int = 0
    failed: int = 0
    total: int = 0


def local(jobs: int) -> Workers:
    """Worker processes of this machine."""

    def work(paths: Sequence[str], setup: Setup) -> Iterator[Answer | Unchanged | None]:
        return processes.run(paths, setup, jobs)

    return work


def run(
    paths: Sequence[str],
    setup: Setup,
    store: Store,
    workers: Workers,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Bring the results of ``paths`` into ``store``. Interrupted at any point, what was done stays; the next run goes on.

    ``told`` is called now and then, and at the end. Raises InputError when the store cannot be written.
    """
    store.begin(setup.ring, setup.options, tickets=setup.tickets is not None)
    progress = Progress(total=len(paths))
    setup = replace(setup, done=store.done(setup.limits))
    todo: Sequence[str] = paths
    # A second round is for captures whose known result another run took away in the meantime.
    for fresh in (False, True):
        for answer in workers(todo, replace(setup, done=frozenset()) if fresh else setup) if todo else ():
            if answer is None:
                store.flush()
            else:
                store.add(answer)
                progress = _after(progress, answer)
            told(progress)
        store.flush()
        todo = store.missing(paths)
        progress = replace(progress, done=progress.total - len(todo))
    store.tidy()
    told(progress)
    return progress


def _after(progress: Progress, answer: Answer | Unchanged) -> Progress:
    known = isinstance(answer, Unchanged)
    failed = isinstance(answer, Answer) and answer.status == "failed"
    return replace(progress, done=progress.done + 1, known=progress.known + known, failed=progress.failed + failed)
