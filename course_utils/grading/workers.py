"""Who runs the notebooks of a class: this machine's processors, or the workers of a Dask cluster.

Nothing is shared with a worker but Dask's connection: the work and its result travel as bytes. On
this machine scheduler and worker live in the grader's own process, and one thread for each notebook
waits for the sandbox that runs it.
"""

import asyncio
import json
import logging
import os
import queue
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dask
from distributed import Client, LocalCluster, Security
from distributed.core import rpc

from course_utils.grading import running
from course_utils.grading.running import Problem

_PATIENCE = 10  # seconds in which a scheduler must answer
_LOOK_EVERY = 1  # seconds, to see which workers have come or gone


def perform(work: bytes) -> bytes:
    """What a worker calls."""
    return running.perform(work)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def team(count: int | None, scheduler: str | None) -> Iterator["Team"]:
    """`count` notebooks at once on this machine, or whatever a Dask scheduler has."""
    for name in ("distributed", "distributed.client"):  # what matters is said by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        with _connected(scheduler) as client:
            yield Team(client, scheduler)
        return
    nobody = "127.0.0.1:0"  # scheduler and worker insist on serving pages; with no routes, none
    with dask.config.set({f"distributed.{one}.http.routes": [] for one in ("scheduler", "worker")}):
        here = LocalCluster(
            n_workers=1,
            threads_per_worker=count or processors(),
            processes=False,
            memory_limit=None,  # the sandbox counts
            dashboard_address=nobody,
            worker_dashboard_address=nobody,
            silence_logs=logging.CRITICAL,
        )
        with here, Client(here, set_as_default=False) as client:
            ours = Team(client, "this machine")
            try:
                yield ours
            finally:
                if ours.busy:  # closing would wait for what nobody waits for any more
                    running.abandon()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        asyncio.run(_ask_who_is_there(address))
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        why = str(error) or f"nothing came back within {_PATIENCE} s"
        raise ValueError(f"No Dask scheduler answers at {address}: {why}") from None
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=2)


async def _ask_who_is_there(address: str) -> None:
    """Before there is a Client, which waits for an answer for ever, and, once it has failed, for
    its own end."""
    arguments = Security().get_connection_args("client")

    async def ask() -> None:
        async with rpc(address, timeout=_PATIENCE, connection_args=arguments) as scheduler:
            await scheduler.identity()

    await asyncio.wait_for(ask(), _PATIENCE)


class SchedulerGone(ValueError):
    """The connection is lost; what was stored is stored."""


class Team:
    """Work goes in, results come out, in any order."""

    def __init__(self, client: Client, where: str):
        self._client, self.where = client, where
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._futures: dict[str, object] = {}
        self._look_around()

    @property
    def busy(self) -> int:
        """Notebooks that were handed out and have not come back."""
        return len(self._futures)

    @property
    def at_once(self) -> int:
        """How many can run at the same time: of workers that have joined."""
        return self._at_once

    @property
    def has_room(self) -> bool:
        """A few more than can run are handed out, so that no worker ever waits."""
        return self.busy < 2 * max(self.at_once, 1)

    def hand_out(self, name: str, work: bytes) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # what was handed in is large
            future = self._client.submit(perform, work, key=f"course-{name}", pure=True)
        self._futures[name] = future
        future.add_done_callback(lambda _, name=name: self._done.put(name))

    def results(self, wait: float) -> Iterator[tuple[str, dict]]:
        """Those that are there, waiting so long for the first one."""
        if time.monotonic() > self._looked + _LOOK_EVERY:
            self._look_around()
        try:
            names = [self._done.get(timeout=wait)]
        except queue.Empty:
            return
        while not self._done.empty():
            names.append(self._done.get())
        for name in names:
            yield name, self._result(self._futures.pop(name))

    def _look_around(self) -> None:
        if self._client.status != "running":
            raise SchedulerGone(f"The scheduler at {self.where} is gone.")
        self._at_once = sum(self._client.nthreads().values())
        self._looked = time.monotonic()

    def _result(self, future) -> dict:
        if future.status == "finished":
            return json.loads(future.result())
        if future.cancelled() or self._client.status != "running":
            raise SchedulerGone(f"The scheduler at {self.where} is gone.")
        error = future.exception()
        if isinstance(error, ImportError):
            raise Problem(f"a worker of {self.where} has not got the course installed: {error}")
        return {"failed": f"{type(error).__name__}: {error}"}
