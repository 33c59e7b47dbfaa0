"""Memory of the job: of its cgroup where HTCondor made one, else of its processes. The file trees are fakes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_afhub import ads, measure, memory, processes
from minipool import wait_for

MB = 2**20
JOB, STARTER = 500, 400
SLICE = "/system.slice/condor.service"
SLOT_GROUP = f"{SLICE}/condor_var_lib_condor_execute_slot1@w"

STAT2 = "anon 100000000\nfile 900000000\nshmem 5000000\ninactive_anon 30000000\ninactive_file 400000000\n"
STAT1 = "cache 900000000\nrss 70000000\nrss_huge 0\n"


class FakeNode:
    """A fake of /proc and /sys/fs/cgroup, as far as a job looks at them."""

    def __init__(self, folder: Path, mountinfo: str) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "mountinfo").write_text(mountinfo.format(cgroups=self.cgroups))

    def process(self, pid: int, cgroup: str) -> None:
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "cgroup").write_text(cgroup)

    def group(self, path: str, **files: str) -> None:
        folder = self.cgroups / path.lstrip("/")
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name.replace("_", ".", 1)).write_text(content)

    def find(self, starter: int | None = STARTER, **options: object) -> memory.Cgroup | None:
        return memory.find_cgroup(JOB, starter, proc=self.proc, **options)  # type: ignore[arg-type]


@pytest.fixture
def cgroup2(tmp_path: Path) -> FakeNode:
    """A fake node with cgroup version 2."""
    return FakeNode(tmp_path, "30 23 0:26 / {cgroups} rw,nosuid - cgroup2 cgroup2 rw\n")


@pytest.fixture
def cgroup1(tmp_path: Path) -> FakeNode:
    """A fake node with cgroup version 1, of which systemd mounts version 2 without controllers beside it."""
    return FakeNode(
        tmp_path,
        "29 23 0:25 / {cgroups}/unified rw - cgroup2 cgroup2 rw\n"
        "31 23 0:27 / {cgroups}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:28 / {cgroups}/memory rw,nosuid - cgroup cgroup rw,memory\n",
    )


def test_version_2_counts_what_was_allocated(cgroup2: FakeNode) -> None:
    cgroup2.process(JOB, f"0::{SLOT_GROUP}\n")
    cgroup2.process(STARTER, f"0::{SLICE}\n")
    cgroup2.group(SLOT_GROUP, memory_stat=STAT2, memory_current="1200000000\n")
    found = cgroup2.find()
    assert found and (found.source, found.used()) == ("cgroup2", 105000000)


@pytest.mark.parametrize(
    ("version", "used"),
    [
        ("$CondorVersion: 25.14.1 2026-01-01 $", 105000000), ("$CondorVersion: 24.0.3 2025 $", 105000000),
        ("$CondorVersion: 23.0.19 2025 $", 105000000), ("$CondorVersion: 24.0.2 2024 $", 770000000),
        ("$CondorVersion: 23.9.6 2024 $", 770000000), ("$CondorVersion: 23.0.10 2024 $", 1200000000),
        (None, 105000000), ("nonsense", 105000000),
    ],
)  # fmt: skip
def test_what_version_2_counts_depends_on_htcondors_release(
    cgroup2: FakeNode, version: str | None, used: int
) -> None:
    cgroup2.process(JOB, f"0::{SLOT_GROUP}\n")
    cgroup2.process(STARTER, f"0::{SLICE}\n")
    cgroup2.group(SLOT_GROUP, memory_stat=STAT2, memory_current="1200000000\n")
    found = cgroup2.find(version=memory.htcondor_version(version))
    assert found and found.used() == used


def test_version_1_counts_resident_memory(cgroup1: FakeNode) -> None:
    cgroup1.process(JOB, f"4:memory:{SLOT_GROUP}\n3:cpu,cpuacct:{SLOT_GROUP}\n0::{SLICE}\n")
    cgroup1.process(STARTER, f"4:memory:{SLICE}\n3:cpu,cpuacct:{SLICE}\n0::{SLICE}\n")
    cgroup1.group(f"memory{SLOT_GROUP}", memory_stat=STAT1)
    found = cgroup1.find()
    assert found and (found.source, found.used()) == ("cgroup1", 70000000)


def test_a_group_that_the_starter_is_in_is_not_the_jobs(cgroup2: FakeNode) -> None:
    for pid in (JOB, STARTER):
        cgroup2.process(pid, f"0::{SLICE}\n")
    cgroup2.group(SLICE, memory_stat=STAT2)
    assert cgroup2.find(slot="slot1") is None


def test_where_the_starter_is_hidden_the_group_has_the_slots_name(cgroup2: FakeNode) -> None:
    cgroup2.process(JOB, f"0::{SLOT_GROUP}\n")
    cgroup2.group(SLOT_GROUP, memory_stat=STAT2)
    assert cgroup2.find(starter=None, slot="slot1@w")
    assert cgroup2.find(starter=None, slot="slot2@w") is None
    assert cgroup2.find(starter=None, slot=None) is None


def test_without_a_memory_controller_there_is_no_group_to_ask(cgroup2: FakeNode) -> None:
    cgroup2.process(JOB, f"0::{SLOT_GROUP}\n")
    cgroup2.process(STARTER, f"0::{SLICE}\n")
    cgroup2.group(SLOT_GROUP)
    assert cgroup2.find() is None


def test_without_any_group_there_is_none(tmp_path: Path) -> None:
    assert FakeNode(tmp_path, "").find() is None


@pytest.mark.parametrize("text", ["", "1", "1 (x", "1 (x) S", "1 (x) S " + "a " * 30, "x (y) S " + "1 " * 30])
def test_a_process_that_cannot_be_read_is_none(text: str) -> None:
    assert processes.parse_stat(text) is None


def test_a_process_may_have_any_name() -> None:
    own = Path("/proc/self/stat").read_text()
    number, _, rest = own.partition(" (")
    _, _, tail = rest.rpartition(") ")
    found = processes.parse_stat(f"{number} (a) b (c) {tail}")
    assert found and found.name == "a) b (c" and found.memory > MB


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], processes.Family]]:
    """A process with a child, and one that has left it to become a child of init."""
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "_CONDOR_SCRATCH_DIR": str(tmp_path)},
    ) as job:  # fmt: skip
        assert job.stdout and job.stdout.readline() == "ready\n"
        looks = processes.Family(job.pid, str(tmp_path))
        yield job, looks
        for pid in looks.look():
            os.kill(pid, 9)


def test_a_process_that_left_its_parent_still_counts(
    family: tuple[subprocess.Popen[str], processes.Family],
) -> None:
    job, looks = family
    wait_for("all three are seen", lambda: len(looks.look()) == 3, every_s=0.05)
    members = looks.look()
    left = [process for process in members.values() if process.pid != job.pid and process.parent != job.pid]
    assert len(left) == 1
    assert processes.memory(members.values()) > 10 * MB
    assert os.getpid() not in members


def test_the_first_look_of_a_meter_tells_memory_the_second_one_cpu() -> None:
    meter = measure.Meter(ads.Ads(), {})
    first = meter.look({"kernel": os.getpid()})
    assert first.source == "processes" and first.used == first.resident > MB and first.cpu_percent == 0
    until = os.times().user + 0.2
    while os.times().user < until:
        pass
    second = meter.look({"kernel": os.getpid(), "gone": 2**22 - 1})
    assert second.cpu_percent > 5
    assert second.kernels["kernel"].memory > MB and second.kernels["gone"].memory == 0


def test_between_two_searches_new_children_are_followed(
    family: tuple[subprocess.Popen[str], processes.Family],
) -> None:
    job, _ = family
    looks = processes.Family(os.getpid())
    assert job.pid in looks.look()
    with subprocess.Popen(["sleep", "60"]) as child:
        followed = looks.look()
        assert child.pid in followed and job.pid in followed
        child.kill()
    assert child.pid not in looks.look()
