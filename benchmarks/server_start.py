"""From exec to the first answer: `afhub-notebook` and plain `jupyter-lab` of the same environment, by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks import attempts, machine
from benchmarks.attempts import Failed
from benchmarks.stack import WorkerAgent

PROGRAMS = ("afhub-notebook", "jupyter-lab")


@dataclass
class Starts:
    """Of one program: seconds until it answers, and the CPU seconds that took. A start that fails is in both."""

    seconds: list[float | Failed] = field(default_factory=list)
    cpu_s: list[float | Failed] = field(default_factory=list)

    def add(self, one: tuple[float, float] | Failed) -> None:
        """What came of a start."""
        wall, cpu = (one, one) if isinstance(one, Failed) else one
        self.seconds.append(wall)
        self.cpu_s.append(cpu)


def measure(agent: WorkerAgent, rounds: int, starts: dict[str, Starts]) -> None:
    """Both programs in turn; one start of each before, which is not counted, fills the file cache.

    Adds to `starts`, which has an entry for each program, start by start.
    """

    def start(program: str) -> tuple[float, float]:
        answers = agent.do("start", "answers", program=program)
        return answers["at"] - answers["began"], answers["cpu_s"]

    for number in range(rounds + 1):
        for program in PROGRAMS:
            not_tried = attempts.given_up(starts[program].seconds)
            if not_tried:
                starts[program].add(not_tried)
                continue
            machine.becomes_quiet()
            outcome = attempts.attempt(
                lambda program=program: start(program),  # type: ignore[misc]
                stop=agent.stop,
                reset=agent.stop,
            )
            if number:
                starts[program].add(outcome)
