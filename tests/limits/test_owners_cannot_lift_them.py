"""A notebook belongs to its user, its limits do not: neither HTCondor's tools nor the job itself can change them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hubclient import HubUser

from minipool import Minipool

# What decides how long a notebook lives, what it may use, whose it is, and what the hub believes of it.
CHANGES = {
    "AfhubMemoryLimitMb": "999999",
    "AfhubClass": '"xlarge"',
    "AfhubHub": '"another.example.org"',
    "AfhubServer": '"another"',
    "AllowedJobDuration": "999999999",
    "ShadowBday": "1999999999",
    "JobCurrentStartDate": "1999999999",
    "JobStatus": "7",
    "MemoryUsage": "1",
    "ResidentSetSize": "1",
    "RemoteHost": '"slot1@notebooks@elsewhere.example.org"',
    "Owner": '"bob"',
    "User": '"bob@af.test"',
    "Cmd": '"/bin/sh"',
    "Environment": '"A=B"',
    "Iwd": '"/tmp"',
    "JobLeaseDuration": "999999999",
    "JobMaxVacateTime": "999999",
    "JobPrio": "20",
    "JobUniverse": "7",
    "NumJobStarts": "0",
    "EnteredCurrentStatus": "1",
    "QDate": "1",
    "HoldReason": '"because"',
    "HoldReasonCode": "26",
    "HoldReasonSubCode": "7001",
    "RemoveReason": '"because"',
    "LeaveJobInQueue": "true",
    "OnExitRemove": "false",
    "PeriodicHold": "true",
    "PeriodicRelease": "true",
    "Requirements": "true",
    "RequestMemory": "999999",
    "AccountingGroup": '"group"',
    "TransferOutput": '"/etc/passwd"',
    "UserLog": '"/tmp/log"',
    "WantIOProxy": "true",
    "WantRemoteUpdates": "true",
    "WantDelayedUpdates": "true",
    "AfhubNotices": '"[]"',
    "AfhubSeen": '"a:r"',
    "AfhubIdleSince": "0",
    "ChirpAnything": "1",
}
# Without those that the hub itself may write at any moment.
STEADY = [name for name in CHANGES if name not in ("AfhubNotices", "AfhubSeen", "AfhubIdleSince")]

# Everything that HTCondor's own client can ask of a job's starter, most of it of its shadow on the hub.
CHIRP_COMMANDS = [
    ["get_job_attr", "AfhubClass"],
    ["get_job_attr", "Environment"],
    ["get_job_attr", "ClaimId"],
    ["get_job_attr_delayed", "AfhubClass"],
    ["get_job_attr_delayed", "ClaimId"],
    ["get_job_attr_delayed", "TransferKey"],
    ["get_job_attr_delayed", "Environment"],
    ["set_job_attr", "ChirpAnything", "1"],
    ["set_job_attr_delayed", "ChirpAnything", "1"],
    ["ulog", "words of a notebook"],
    ["phase", "words"],
    ["fetch", "/etc/passwd", "/dev/stdout"],
    ["put", "/etc/hostname", "/run/of-a-notebook"],
    ["remove", "/etc/hostname"],
    ["read", "/etc/passwd", "100"],
    ["write", "/etc/hostname", "/run/of-a-notebook"],
    ["rename", "/etc/hostname", "/etc/hostname2"],
    ["link", "/etc/passwd", "/run/of-a-notebook"],
    ["symlink", "/etc/passwd", "/run/of-a-notebook"],
    ["readlink", "/etc/os-release", "100"],
    ["mkdir", "/run/of-a-notebook"],
    ["rmdir", "/run/of-a-notebook"],
    ["rmall", "/run/of-a-notebook"],
    ["getdir", "/etc"],
    ["getlongdir", "/etc"],
    ["whoami"],
    ["whoareyou", "hub.af.test"],
    ["stat", "/etc/passwd"],
    ["lstat", "/etc/passwd"],
    ["statfs", "/"],
    ["access", "/etc/passwd", "r"],
    ["chmod", "/etc/hostname", "777"],
    ["chown", "/etc/hostname", "0", "0"],
    ["lchown", "/etc/hostname", "0", "0"],
    ["truncate", "/etc/hostname", "0"],
    ["utime", "/etc/hostname", "1", "1"],
]

# A claim without its secret ends in three dots and may be known: PublicClaimId.
# What a process of the notebook finds of the way that Chirp would be, and of what only daemons should know.
TRACES = """
import glob, json, os, re
scratch = os.environ["_CONDOR_SCRATCH_DIR"]
found = {"variables": [name for name in os.environ if "CHIRP_CONFIG" in name], "files": [], "secrets": []}
names = rb"(ClaimId|ClaimIdList|ClaimIds|ChildClaimIds|Capability|TransferKey)"
secret = re.compile(rb"(?i)\\b" + names + rb"\\s*=|<[0-9.]+:[0-9]+[^ ]*>#[0-9]+#[0-9]+#(?![.]{3})")
for folder in (scratch, os.path.join(scratch, "../htcondor")):
    for path in glob.glob(folder + "/**", recursive=True, include_hidden=True):
        if os.path.basename(path) in (".chirp.config", "chirp.config"):
            found["files"].append(path)
        if os.path.isfile(path) and os.access(path, os.R_OK):
            with open(path, "rb") as file:
                found["secrets"] += [[path, match.group().decode()] for match in secret.finditer(file.read())]
with open("/proc/self/environ", "rb") as file:
    found["secrets"] += [["environment", match.group().decode()] for match in secret.finditer(file.read())]
ads = [os.environ[name] for name in ("_CONDOR_JOB_AD", "_CONDOR_MACHINE_AD")]
found["ads"] = [os.path.basename(path) for path in ads if os.path.getsize(path) > 100]
print(json.dumps(found))
"""

CHIRP = """
import json, os, subprocess
tool = subprocess.run(["condor_config_val", "LIBEXEC"], capture_output=True, text=True).stdout.strip() + "/condor_chirp"
answers = []
for arguments in json.loads({arguments!r}):
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=30)
    answers.append([done.returncode, done.stdout + done.stderr])
print(json.dumps(answers))
"""


def chirp(user: HubUser, *calls: list[str]) -> list[tuple[int, str]]:
    """Calls condor_chirp from a notebook: exit code and output of each call."""
    printed = user.execute(CHIRP.format(arguments=json.dumps(calls)))
    return [(code, text) for code, text in json.loads(printed)]


def ad_of(pool: Minipool, job: str) -> dict[str, Any]:
    """All of a job as the schedd has it."""
    (ad,) = json.loads(pool.check("hub", f"condor_q {job} -json"))
    return dict(ad)


@pytest.mark.parametrize("way", ["set_job_attr", "set_job_attr_delayed"])
def test_the_job_itself_changes_none_of_it(pool: Minipool, alices_notebook: HubUser, way: str) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    before = ad_of(pool, job)
    answers = chirp(alice, *([way, name, value] for name, value in CHANGES.items()))
    done = [name for name, (code, _) in zip(CHANGES, answers, strict=True) if code == 0]
    after = ad_of(pool, job)
    changed = {name: after.get(name) for name in STEADY if after.get(name) != before.get(name)}
    if done or changed:
        # Nobody should meet what has become of this job.
        pool.run("hub", f"condor_rm {job}")
        alice.stop()
    assert not done, f"the job was let do it: {done}"
    assert not changed


def test_chirp_is_closed_with_all_its_commands(pool: Minipool, alices_notebook: HubUser) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    answers = chirp(alice, *CHIRP_COMMANDS)
    done = [" ".join(call) for call, (code, _) in zip(CHIRP_COMMANDS, answers, strict=True) if code == 0]
    assert not done, f"the job was let do it: {done}"
    # Whoever has the claim can start a program on that slot, as any user.
    assert not any("#" in text and "<" in text for _, text in answers), answers
    assert "ChirpAnything" not in ad_of(pool, job)
    assert "words of a notebook" not in pool.check("hub", "cat $(condor_config_val EVENT_LOG)")


def test_nothing_that_a_job_is_given_leads_to_its_starter_or_its_slot(alices_notebook: HubUser) -> None:
    found = json.loads(alices_notebook.execute(TRACES))
    # The ads are there, so it was looked at what should be.
    assert found["ads"] == [".job.ad", ".machine.ad"]
    assert (found["variables"], found["files"], found["secrets"]) == ([], [], [])


def test_the_job_reads_and_writes_no_file_of_the_hub(pool: Minipool, alices_notebook: HubUser) -> None:
    # Files on a disk of the hub's own, which its account alice may write.
    folder = "/run/files-of-a-test"
    pool.check(
        "hub", f"install -d -o alice {folder} && echo private > {folder}/there && chown alice {folder}/there"
    )
    try:
        answers = chirp(
            alices_notebook,
            ["fetch", "/etc/passwd", "/dev/stdout"],
            ["fetch", f"{folder}/there", "/dev/stdout"],
            ["put", "/etc/hostname", f"{folder}/new"],
            ["put", "-mode", "cwat", "/etc/hostname", f"{folder}/there"],
            ["remove", f"{folder}/there"],
        )
        assert all(code != 0 for code, _ in answers), answers
        assert not any("private" in text or "root:x" in text for _, text in answers), answers
        assert pool.check("hub", f"ls {folder}; cat {folder}/there") == "there\nprivate\n"
    finally:
        pool.check("hub", f"rm -rf {folder}")


def test_no_tool_of_htcondor_changes_them_for_the_owner(pool: Minipool, alices_notebook: HubUser) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    before = ad_of(pool, job)
    # Where the hub's schedd listens is no secret.
    address = pool.check("nbcm", "condor_status -schedd -af MyAddress").strip()
    for host in ("hub", alice.worker()):
        for schedd in ("-name hub.af.test -pool nbcm.af.test", f"-addr '{address}'", ""):
            for name in ("AfhubMemoryLimitMb", "AllowedJobDuration"):
                command = f"condor_qedit {schedd} {job} {name} {CHANGES[name]} < /dev/null"
                output = pool.run(host, command, user="alice", timeout_s=30).output
                assert "Set attribute" not in output, f"{host}: {command}: {output}"
    after = ad_of(pool, job)
    assert {name: after.get(name) for name in STEADY} == {name: before.get(name) for name in STEADY}
