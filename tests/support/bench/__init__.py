"""What scripts/bench measures: targets, programs that load them, scenarios.

A scenario gets the plan (what was asked for) and notes figures, each under a case ("8 clients") and
a target; of several rounds the medians count. The name of a figure ends in its unit. MB are 10^6
bytes, KiB 1024.
"""
import dataclasses
import pathlib
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: int          # of each run
    clients: tuple        # instead of the scenario's own numbers; empty: those
    idle: int
    copy_mb: int
    burst_s: int
    only: tuple           # names of targets; empty: all
    others: tuple         # targets that somebody else has started
    binary: pathlib.Path  # Weir
    database_port: int
    directory: pathlib.Path

    def sizes(self, *own):
        return self.clients or own

    def turns(self, cases, targets):
        """All of them in each round, each target once the first."""
        for turn in range(self.rounds):
            for case in cases:
                first = turn % len(targets)
                for target in targets[first:] + targets[:first]:
                    yield case, target


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    description: str
    run: Callable  # of a plan and Results
