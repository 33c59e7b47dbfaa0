"""Reading what HTCondor tells a job about itself."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from jupyter_afhub import ads, job

FULL = """
ClusterId = 12
ProcId = 3
Owner = "ann"
AfhubClass = "regular"
AfhubMemoryLimitMb = 12288
RequestMemory = 1536
RequestCpus = 2
AllowedJobDuration = 43200
JobMaxVacateTime = 30
Requirements = stringListMember(MY.AfhubClass, TARGET.AfhubClasses ?: "")
Rank = 0.0
Args = "say \\"hi\\" \\ there"
"""


def test_values_are_strings_and_numbers_whatever_the_case() -> None:
    ad = ads.Ad.parse(FULL)
    assert ad.text("owner") == "ann" and ad.integer("CLUSTERID") == 12 and ad.integer("Rank") == 0
    assert ad.text("Args") == 'say "hi" \\ there'
    assert ad.text("Requirements") is None and ad.integer("Requirements") is None
    assert ad.text("ClusterId") is None and ad.integer("Owner") is None and ad.integer("Absent") is None


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "=", "= 5", "A =", "A", 'A = "open', "A = 1e999", f"A = {'9' * 24}", "\x00\xff", "[A = 1;]"],
)  # fmt: skip
def test_what_is_no_ad_is_an_ad_of_unknown_values(text: str) -> None:
    ad = ads.Ad.parse(text)
    assert ad.integer("A") is None and ad.text("A") is None


def test_a_job_is_what_its_ads_say(tmp_path: Path) -> None:
    (tmp_path / "job").write_text(FULL)
    (tmp_path / "machine").write_text('Name = "slot1@w"\nMachine = "w"\nMemory = 2000\n')
    environ = {
        "_CONDOR_JOB_AD": str(tmp_path / "job"), "_CONDOR_MACHINE_AD": str(tmp_path / "machine"),
        "AFHUB_CLASS_TITLE": "Regular",
        "AFHUB_HUB": '{"home": "/hub/home", "spawn": "/hub/spawn/ann/x"}',
    }  # fmt: skip
    found = ads.read(environ)
    facts = job.describe(found, environ)
    assert found.problems == ()
    assert (facts.id, facts.owner, facts.slot) == ("12.3", "ann", "slot1@w")
    assert (facts.class_name, facts.class_title) == ("regular", "Regular")
    assert (facts.memory_limit_mb, facts.cores, facts.runtime_s, facts.vacate_s) == (12288, 2, 43200, 30)
    assert (facts.home_url, facts.spawn_url) == ("/hub/home", "/hub/spawn/ann/x")


def test_any_job_has_the_limits_it_asked_for(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("ClusterId = 1\nRequestMemory = 1024\n")
    environ = {"_CONDOR_JOB_AD": str(tmp_path / "job")}
    facts = job.describe(ads.read(environ), environ)
    assert (facts.memory_limit_mb, facts.runtime_s, facts.class_title, facts.home_url) == (
        1024,
        None,
        None,
        None,
    )
    assert facts.time_left_s(100.0) is None


def test_a_limit_that_is_an_expression_is_that_of_the_slot(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("RequestMemory = ifthenelse(MemoryUsage =!= undefined, MemoryUsage, 1)\n")
    (tmp_path / "machine").write_text("Memory = 2000\n")
    environ = {
        "_CONDOR_JOB_AD": str(tmp_path / "job"), "_CONDOR_MACHINE_AD": str(tmp_path / "machine"),
    }  # fmt: skip
    assert job.describe(ads.read(environ), environ).memory_limit_mb == 2000


def test_outside_of_a_job_there_is_nothing_to_read_and_nothing_wrong() -> None:
    found = ads.read({"HOME": "/"})
    assert found == ads.Ads() and not job.describe(found, {}).in_job


def test_a_file_that_cannot_be_read_is_a_problem_in_words(tmp_path: Path) -> None:
    found = ads.read({"_CONDOR_JOB_AD": str(tmp_path / "absent"), "_CONDOR_MACHINE_AD": str(tmp_path)})
    assert len(found.problems) == 2 and "No such file" in found.problems[0] and "machine" in found.problems[1]


def test_a_pipe_in_place_of_an_ad_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def read() -> None:
        ads.read({"_CONDOR_JOB_AD": str(tmp_path / "pipe")})
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(5)


@pytest.mark.parametrize(("hours", "matters"), [(0, False), (1, True), (-1, True)])
def test_the_hubs_clock_is_known_where_it_differs(hours: int, matters: bool) -> None:
    ad = ads.Ad.parse(f"ShadowBday = {int(time.time()) - 600 + hours * 3600}\n")
    facts = job.describe(ads.Ads(job=ad), {})
    skew_s = facts.clock_skew_s(600.0)
    assert (skew_s != 0) is matters
    assert abs(skew_s - hours * 3600) < 5
