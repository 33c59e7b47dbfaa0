"""From exec to the first answer: `afhub-notebook` and plain `jupyter-lab` of the same environment, by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks import machine
from benchmarks.stack import WorkerAgent

PROGRAMS = ("afhub-notebook", "jupyter-lab")


@dataclass
class Starts:
    """Of one program: seconds until it answers, and the CPU seconds that took."""

    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def measure(agent: WorkerAgent, rounds: int) -> dict[str, Starts]:
    """Both programs in turn; one start of each before, which is not counted, fills the file cache."""
    starts = {program: Starts() for program in PROGRAMS}
    for number in range(rounds + 1):
        for program in PROGRAMS:
            machine.becomes_quiet()
            answers = agent.do("start", "answers", program=program)
            agent.do("stop", "stopped")
            if number:
                starts[program].seconds.append(answers["at"] - answers["began"])
                starts[program].cpu_s.append(answers["cpu_s"])
    return starts
