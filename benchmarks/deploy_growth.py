"""What a deployment that changes nothing costs the control node for each further worker.

    .venv/bin/python -m benchmarks.deploy_growth

makes a mini-pool of its own (instance `growth`), takes an image of its deployed worker1 and adds 5, 15 and 30 workers
that run from it. All of them get what a worker gets, from the real site.yml; what has to be changed for their new names
is before anything is measured. The fit through the points gives the cost of one more worker. Writes deploy_growth.md
and deploy_growth.json, and removes the pool and the image. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "inventories" / "minipool"
SIZES = (0, 5, 15, 30)
#: The most that one more worker may cost the control node, in CPU seconds.
LIMIT_S = 0.7
EXTRAPOLATED = 500
TICKS = os.sysconf("SC_CLK_TCK")
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
DOMAIN = "af.test"


class Failed(Exception):
    """The measurement can't be made; the text says why."""


@dataclass(frozen=True)
class Run:
    """One deployment. `cpu_s` is that of the control node's processes alone, connections included.

    `others_s` is CPU time that the machine spent meanwhile on anything else: hosts, and whatever else runs.
    """

    workers: int
    wall_s: float
    cpu_s: float
    others_s: float
    load_before: float
    changed: int


@dataclass(frozen=True)
class Line:
    """A straight line through points."""

    at_zero: float
    each: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        """The line with the least squares."""
        fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
        return cls(fit.intercept, fit.slope)

    def at(self, x: float) -> float:
        return self.at_zero + self.each * x


def call(*command: str | Path, **environment: str) -> str:
    """Output of a command; raises Failed with its last words."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def busy_s() -> float:
    """CPU seconds that this machine has spent on anything, since it started."""
    line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    user, nice, system, _, _, irq, softirq = map(int, line.split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def cpu_of_connections(folder: Path) -> float:
    """CPU seconds of the SSH masters whose control path is in a folder: they are no children of Ansible's."""
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                fields = (process / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return total / TICKS


class Pool:
    """The mini-pool and its further workers."""

    def __init__(self, instance: str, folder: Path) -> None:
        self.instance = instance
        self.prefix = "afhub" if instance == "default" else f"afhub-{instance}"
        self.state = ROOT / ".minipool" / instance
        self.image = f"{self.prefix}-growth-worker"
        self.folder = folder
        self.lights: list[str] = []

    def add_workers(self, count: int) -> None:
        """Start workers from an image of worker1, each with a name of its own."""
        call("docker", "commit", "--pause=false", f"{self.prefix}-worker1", self.image)
        cgroup = call(
            "findmnt", "--noheadings", "--first-only", "--types", "cgroup2", "--output", "TARGET"
        ).strip()
        options = "--cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add NET_ADMIN --cgroupns host --env container=docker"
        options += (
            " --security-opt seccomp=unconfined --security-opt apparmor=unconfined --tmpfs /run --tmpfs /tmp"
        )
        for number in range(1, count + 1):
            name = f"light{number:02}"
            call(
                "docker", "run", "--detach", "--name", f"{self.prefix}-{name}", "--hostname", f"{name}.{DOMAIN}",
                "--label", f"afhub.instance={self.instance}", "--network", self.prefix,
                "--network-alias", name, "--network-alias", f"{name}.{DOMAIN}", *options.split(),
                "--volume", f"{cgroup}:/sys/fs/cgroup", "--volume", f"{self.prefix}-home:/home",
                "--volume", f"{self.prefix}-cvmfs:/cvmfs/af.example.org:ro", self.image,
            )  # fmt: skip
            self.lights.append(name)
        self.write_ssh_config()
        for name in self.lights:
            self.wait_for(name)

    def write_ssh_config(self) -> None:
        """How Ansible reaches all hosts. The further ones have the host key of the worker that they were made from."""
        text = (self.state / "ssh_config").read_text(encoding="utf-8")
        for name in self.lights:
            template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
            address = call("docker", "inspect", "--format", template, f"{self.prefix}-{name}").strip()
            text += (
                f"Host {name} {name}.{DOMAIN}\n  HostName {address}\n  HostKeyAlias {self.prefix}-worker1\n"
            )
            text += f"  User deploy\n  IdentityFile {self.state}/id_ed25519\n  IdentitiesOnly yes\n"
            text += f"  UserKnownHostsFile {self.state}/known_hosts\n  StrictHostKeyChecking yes\n"
        (self.folder / "ssh_config").write_text(text, encoding="utf-8")

    def wait_for(self, name: str, limit_s: float = 180) -> None:
        """Wait until a host lets Ansible in and its HTCondor runs."""
        deadline = time.monotonic() + limit_s
        look: list[str | Path] = [
            "ssh",
            "-F",
            self.folder / "ssh_config",
            name,
            "systemctl is-active condor ssh",
        ]
        while True:
            seen = subprocess.run(look, capture_output=True, text=True, check=False)
            if seen.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise Failed(f"{name} was not up within {limit_s:.0f} s: {seen.stdout}{seen.stderr}")
            time.sleep(0.5)

    def deploy(self, workers: int) -> Run:
        """Deploy to the pool with so many further workers, over connections that are made anew."""
        inventory = self.folder / f"{workers}.yml"
        hosts: dict[str, dict[str, str]] = {name: {} for name in self.lights[:workers]}
        inventory.write_text(
            yaml.safe_dump({"workers": {"hosts": hosts}} if hosts else {"all": {}}), encoding="utf-8"
        )
        sockets = Path(tempfile.mkdtemp(prefix="cp-", dir=self.folder))
        command: list[str | Path] = [
            Path(sys.executable).with_name("ansible-playbook"), "-i", SITE, "-i", inventory,
            "-e", f"minipool_state={self.state}",
            "-e", f"ansible_control_path_dir={sockets}",
            "-e", f"{{ansible_ssh_common_args: '-F {self.folder}/ssh_config'}}",
            ROOT / "ansible" / "site.yml",
        ]  # fmt: skip
        load, busy, begun = os.getloadavg()[0], busy_s(), time.monotonic()
        with (self.folder / f"{workers}.log").open("w+", encoding="utf-8") as log:
            environment = {**os.environ, "INSTANCE": self.instance, "ANSIBLE_FORCE_COLOR": "0"}
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - begun
            cpu = used.ru_utime + used.ru_stime + cpu_of_connections(sockets)
            others = busy_s() - busy - cpu
            log.seek(0)
            output = log.read()
        for socket in sockets.iterdir():
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=False
            )
        recap = RECAP.findall(output)
        if status != 0 or len(recap) < 7 + workers:
            raise Failed(f"the deployment to {workers} further workers failed:\n{output[-3000:]}")
        changed = sum(int(found[1]) for found in recap)
        return Run(workers, wall, cpu, others, load, changed)


@contextmanager
def pool_of_its_own(instance: str, folder: Path) -> Iterator[Pool]:
    """A pool that is made, and removed again with all that was added to it."""
    pool = Pool(instance, folder)
    environment = {"INSTANCE": instance}
    if not (pool.state / "port").exists():
        environment["PORT"] = call("bash", "-c", ". tools/lib.sh; free_port").strip()
    try:
        call("docker/minipool.sh", "up", **environment)
        yield pool
    finally:
        # Those of the further workers carry the instance's label, so that this removes them as well.
        call("docker/minipool.sh", "down", INSTANCE=instance)
        subprocess.run(["docker", "image", "rm", "--force", pool.image], capture_output=True, check=False)


def measure(pool: Pool, sizes: Sequence[int], rounds: int, runs: list[Run]) -> None:
    """Add deployments without a change to `runs`, the small ones first in each round."""
    for turn in range(rounds):
        for size in sizes:
            run = pool.deploy(size)
            # New names are written down once.
            if run.changed and turn == 0:
                run = pool.deploy(size)
            if run.changed:
                raise Failed(f"with {size} further workers a second deployment changed {run.changed} things")
            runs.append(run)
            print(f"{size:3} further workers: {run.cpu_s:.1f} CPU s, {run.wall_s:.1f} s", flush=True)


def report(runs: Sequence[Run], machine: dict[str, str]) -> str:
    """The figures as a page."""
    cpu = Line.through([(run.workers, run.cpu_s) for run in runs])
    wall = Line.through([(run.workers, run.wall_s) for run in runs])
    rows = "\n".join(
        f"| {run.workers} | {run.cpu_s:.1f} CPU s | {run.wall_s:.0f} s | {run.others_s:.1f} CPU s "
        f"| {run.load_before:.1f} |"
        for run in runs
    )
    return f"""\
# What a deployment costs for each further worker

Measured {datetime.datetime.now(datetime.UTC):%Y-%m-%d} by `.venv/bin/python -m benchmarks.deploy_growth`:
`ansible/site.yml` on a mini-pool that is deployed already, so that nothing changes, with workers added that run from
an image of its worker1.

{chr(10).join(f"- {name}: {value}" for name, value in machine.items())}
- Highest load average before a run: {max(run.load_before for run in runs):.1f}. CPU time is that of the control node's
  processes, SSH included. Wall time includes the hosts' own work, which is done on the same cores here and by the
  hosts themselves elsewhere.

| further workers | control node | wall time | everything else on the machine | load before |
| --- | --- | --- | --- | --- |
{rows}

**{cpu.each:.2f} CPU s for each further worker** (to be at most {LIMIT_S}), {cpu.at_zero:.1f} CPU s for the rest; wall
time on this machine {wall.each:.2f} s each.

Extrapolated, not measured: {EXTRAPOLATED} further workers would take the control node {cpu.at(EXTRAPOLATED):.0f} CPU s.
With 20 forks (`ansible.cfg`) they are {-(-EXTRAPOLATED // 20)} turns for each step. Ansible's main process hands out
the work and is one process, so that more cores help its children only: on cores like these, with hosts that do their
own work,
between {cpu.at(EXTRAPOLATED) / 120:.0f} (two cores, both busy) and {cpu.at(EXTRAPOLATED) / 60:.0f} minutes (one core).
"""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of further workers"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--instance", default="growth")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    if (ROOT / ".minipool" / options.instance).exists():
        parser.error(
            f"--instance {options.instance}: there is a mini-pool of that name, and this one is removed at the end; "
            f"name another, or run 'make down INSTANCE={options.instance}' first"
        )
    described = {
        "Machine": f"{os.cpu_count()} cores of {cpu_model()}",
        "Commit": call("git", "rev-parse", "--short=12", "HEAD").strip(),
    }
    # Told to end, it removes what it made, as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runs: list[Run] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="afhub-growth-") as folder:
        try:
            with pool_of_its_own(options.instance, Path(folder)) as pool:
                pool.add_workers(max(options.sizes))
                measure(pool, sorted(options.sizes), options.rounds, runs)
        except Failed as problem:
            print(problem, file=sys.stderr)
            failed = True
    # What was measured until a fault is worth as much as before it.
    if len({run.workers for run in runs}) < 2:
        return 1
    text = report(runs, described)
    (options.out / "deploy_growth.md").write_text(text, encoding="utf-8")
    data = {"machine": described, "runs": [asdict(run) for run in runs]}
    (options.out / "deploy_growth.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(text)
    return 1 if failed else 0


def cpu_model() -> str:
    """What the processor calls itself."""
    found = re.search(
        r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    return found[1] if found else "an unknown processor"


if __name__ == "__main__":
    sys.exit(main())
