"""The user's jobs in the batch pool, as the panel in the Lab gets them: the user's own, at no cost to the server."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from fake_condor import JOB, FakeCondor
from job_server import API, TOKEN, JobServer
from jupyter_afhub import batch, batch_pages
from jupyter_afhub.batch_files import LARGEST_FILE, Folder, describe

DOCS = Path(__file__).parents[3] / "docs" / "notebook-extension.md"
Start = Callable[..., JobServer]


def job(number: int = 12, proc: int = 0, **changes: Any) -> dict[str, Any]:
    return {**JOB, "ClusterId": number, "ProcId": proc, **changes}


def held(number: int = 13, **changes: Any) -> dict[str, Any]:
    return job(number, JobStatus=5, HoldReason="It needed 3000 MB.", RemoteHost=None, **changes)


def no_files(path: str) -> dict[str, Any]:
    return {"where": path, "path": None, "exists": False}


def shown(*jobs: dict[str, Any]) -> dict[str, Any]:
    """What the panel gets of a queue with these jobs."""
    pool = batch.Pool(lambda command: json.dumps(jobs), owner="ann")
    return batch.as_json(pool.queue(), no_files)


class Tools:
    """Stands in for HTCondor's tools; remembers how each was called."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.jobs = jobs
        self.calls: list[list[str]] = []

    def __call__(self, command: Any) -> str:
        self.calls.append(list(command))
        return json.dumps(self.jobs) if command[0] == batch.QUERY else ""

    @property
    def acts(self) -> list[list[str]]:
        return [call for call in self.calls if call[0] != batch.QUERY]


@pytest.fixture
def condor(tmp_path: Path) -> FakeCondor:
    return FakeCondor(tmp_path / "condor")


@pytest.fixture
def server(job_server: Start, condor: FakeCondor) -> JobServer:
    """A server whose account is that of these tests, with a batch pool."""
    return job_server(environ=condor.environ(os.environ["PATH"]))


def mine(**changes: Any) -> dict[str, Any]:
    return job(**{"Owner": batch.account(), **changes})


def act(server: JobServer, action: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(
        f"http://127.0.0.1:{server.port}/{API}/batch/{action}",
        headers={"Authorization": f"token {TOKEN}", **headers},
        json=body,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("changes", "state", "reason", "host"),
    [
        ({}, "running", None, "worker1.af.test"),
        ({"JobStatus": 1, "RemoteHost": None, "LastRejMatchReason": "no match found"}, "idle", "no match found", None),
        ({"JobStatus": 5, "HoldReason": "Over its\nmemory", "RemoteHost": None, "LastRemoteHost": "s@w2.af.test"},
         "held", "Over its memory", "w2.af.test"),
        ({"JobStatus": 3}, "removed", None, "worker1.af.test"),
        ({"JobStatus": 99, "RemoteHost": 7}, "unknown", None, None),
    ],
)  # fmt: skip
def test_a_job_has_a_state_a_reason_and_a_place(
    changes: dict[str, Any], state: str, reason: str | None, host: str | None
) -> None:
    (group,) = shown(job(**changes))["groups"]
    (row,) = group["jobs"]
    assert (row["state"], row["reason"], row["host"]) == (state, reason, host)
    assert row["command"] == "python3 fit.py 7"


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        ("-c sleep' '900", "-c 'sleep 900'"),
        ("fit.py 7", "fit.py 7"),
        ("'it''s one'  two", """'it'"'"'s one' two"""),
        ("'never closed", "'never closed'"),
        ("", ""),
    ],
)
def test_arguments_read_as_one_would_type_them(arguments: str, typed: str) -> None:
    (group,) = shown(job(Args=None, Arguments=arguments))["groups"]
    assert group["jobs"][0]["command"] == f"python3 {typed}".strip()


def test_how_long_is_by_the_schedds_own_clock() -> None:
    (group,) = shown(job())["groups"]
    assert group["jobs"][0]["for_s"] == 300


@pytest.mark.parametrize(
    ("changes", "tool"),
    [
        ({"AfhubWorker": "dask"}, "dask"),
        ({"DaskWorkerName": "htcondor--7--"}, "dask"),
        ({"AfhubWorker": "spark"}, "spark"),
        ({"IsHTMapJob": True}, "htmap"),
        ({"AfhubWorker": "<b>"}, "plain"),
        ({}, "plain"),
    ],
)
def test_jobs_are_told_apart_by_the_tool_that_sent_them(changes: dict[str, Any], tool: str) -> None:
    assert shown(job(**changes))["groups"][0]["tool"] == tool


def test_jobs_of_one_batch_are_together_and_others_are_not() -> None:
    answer = shown(
        job(1, JobBatchName="scan"), job(2, JobBatchName="scan", JobStatus=1), held(3, JobBatchName="scan"),
        job(4, QDate=1_767_268_900), job(4, 1, QDate=1_767_268_900),
        job(5, JobBatchName="scan", AfhubWorker="dask", QDate=1_767_268_700),
    )  # fmt: skip
    groups = [
        (group["tool"], group["name"], [row["id"] for row in group["jobs"]]) for group in answer["groups"]
    ]
    assert groups == [
        ("plain", "4", ["4.0", "4.1"]),
        ("plain", "scan", ["3.0", "1.0", "2.0"]),
        ("dask", "scan", ["5.0"]),
    ], "the newest first, and in a batch the held ones"
    assert answer["groups"][1]["counts"] == {"idle": 1, "running": 1, "held": 1, "leaving": 0}
    assert answer["counts"] == {"idle": 1, "running": 4, "held": 1, "leaving": 0}


def test_a_large_batch_is_counted_whole_and_shown_in_part() -> None:
    jobs = [job(7, proc, JobStatus=1) for proc in range(3000)]
    (group,) = shown(*jobs, held(7, ProcId=9999))["groups"]
    assert group["counts"] == {"idle": 3000, "running": 0, "held": 1, "leaving": 0}
    assert len(group["jobs"]) == batch.LISTED_IN_GROUP and group["not_listed"] == 3001 - batch.LISTED_IN_GROUP
    assert group["jobs"][0]["state"] == "held"


def test_of_more_jobs_than_are_asked_for_it_is_said_that_there_are_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "MOST_JOBS", 2)
    assert shown(job(1), job(2))["more"] is False
    assert shown(job(1), job(2), job(3))["more"] is True


def test_nobody_elses_job_is_asked_for_or_shown() -> None:
    tools = Tools(job(1), job(2, Owner="bob"), job(3, Owner=None))
    queue = batch.Pool(tools, owner="ann").queue()
    assert [one.id for one in queue.jobs] == ["1.0"]
    (query,) = tools.calls
    assert query[query.index("-constraint") + 1] == 'Owner == "ann"'


@pytest.mark.parametrize("tool", [batch.REMOVE, batch.RELEASE])
def test_nobody_elses_job_is_touched(tool: str) -> None:
    tools = Tools(held(1), held(2, Owner="bob", JobBatchName="scan"))
    foreign = batch.read_job(held(2, Owner="bob", JobBatchName="scan"))
    assert foreign is not None
    for chosen in ({"job": "2.0"}, {"group": foreign.group}):
        with pytest.raises(batch.NotThereError):
            batch.Pool(tools, owner="ann").act(tool, **chosen)
    assert tools.acts == []


def test_a_job_is_removed_and_a_held_one_released_by_its_owner_and_number() -> None:
    tools = Tools(job(1), held(2))
    pool = batch.Pool(tools, owner="ann")
    assert pool.act(batch.REMOVE, job="1.0") == 1
    assert pool.act(batch.RELEASE, job="2.0") == 1
    assert tools.acts == [
        ["condor_rm", "-constraint", 'Owner == "ann" && (ClusterId == 1 && ProcId == 0)'],
        [
            "condor_release",
            "-constraint",
            'Owner == "ann" && ((ClusterId == 2 && ProcId == 0) && JobStatus == 5)',
        ],
    ]
    with pytest.raises(batch.NotThereError):
        pool.act(batch.RELEASE, job="1.0")
    with pytest.raises(batch.NotThereError):
        batch.Pool(Tools(job(1, JobStatus=3)), owner="ann").act(batch.REMOVE, job="1.0")


def test_a_batch_is_removed_cluster_by_cluster_in_commands_of_bearable_length() -> None:
    jobs = [job(number, JobBatchName='a "name" || true') for number in range(1, 451)]
    tools = Tools(*jobs, job(900))
    wanted = batch.read_job(jobs[0])
    assert wanted is not None
    assert batch.Pool(tools, owner="ann").act(batch.REMOVE, group=wanted.group) == 450
    assert [call[2].count("ClusterId") for call in tools.acts] == [200, 200, 50]
    assert all(call[2].startswith('Owner == "ann" && (ClusterId == ') for call in tools.acts)
    assert not any("900" in call[2] or "name" in call[2] for call in tools.acts)


def test_an_account_that_could_end_its_quotes_finds_nothing() -> None:
    tools = Tools()
    batch.Pool(tools, owner='ann" || true || "').queue()
    assert tools.calls[0][-1] == "false"


@pytest.mark.parametrize("answer", ["{}", "7", "no JSON", "[" * 100_000])
def test_a_strange_answer_is_a_problem(answer: str) -> None:
    with pytest.raises(batch.PoolError, match="no list of jobs"):
        batch.Pool(lambda command: answer, owner="ann").queue()


@pytest.mark.parametrize("answer", ["", "[7, null, {}]", '[{"Owner": "ann", "ClusterId": "x"}]'])
def test_what_is_no_job_is_left_out(answer: str) -> None:
    assert batch.Pool(lambda command: answer, owner="ann").queue().jobs == ()


def test_texts_of_jobs_are_one_line_and_short() -> None:
    (group,) = shown(job(JobBatchName="a\n\x1b[31m\u202eb" + "c" * 999, JobStatus=5, HoldReason="x" * 9999))[
        "groups"
    ]
    assert group["name"].startswith("a [31mbc") and len(group["name"]) == batch.LONGEST_NAME
    assert len(group["jobs"][0]["reason"]) == batch.LONGEST_TEXT


def test_files_are_named_once_and_where_they_are() -> None:
    (group,) = shown(job(Out="out/7.txt", Err="out/7.txt", UserLog="/scratch/../var/7.log", Iwd="/home/ann"))[
        "groups"
    ]
    assert [(one["kind"], one["where"]) for one in group["jobs"][0]["files"]] == [
        ("output", "/home/ann/out/7.txt"),
        ("log", "/var/7.log"),
    ]


def test_only_files_that_the_lab_can_open_have_a_path(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for place in (home / "logs", home / ".hidden", elsewhere):
        place.mkdir(parents=True)
    for file in (home / "logs/7.out", home / ".hidden/7.out", elsewhere / "7.out"):
        file.write_text("said", encoding="utf-8")
    with (home / "large").open("wb") as large:
        large.truncate(LARGEST_FILE + 1)
    (tmp_path / "second-name").symlink_to(home)
    folder = Folder(str(home))
    paths = {name: describe(folder, str(tmp_path / name))["path"] for name in (
        "home/logs/7.out", "second-name/logs/7.out", "home/.hidden/7.out", "elsewhere/7.out", "home/large", "home/logs",
        "home/logs/absent", "home/../elsewhere/7.out",
    )}  # fmt: skip
    assert {name: path for name, path in paths.items() if path} == {
        "home/logs/7.out": "logs/7.out",
        "second-name/logs/7.out": "logs/7.out",
    }
    assert describe(Folder(str(home), hidden=True), str(home / ".hidden/7.out"))["path"] == ".hidden/7.out"
    assert describe(None, str(home / "logs/7.out")) == {
        "where": str(home / "logs/7.out"),
        "path": None,
        "exists": True,
    }


def test_pages_are_those_of_processes_that_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    folder = tmp_path / "afhub-pages"
    folder.mkdir()
    good = {"tool": "dask", "port": 8787, "path": "status", "pid": os.getpid()}
    rows: list[Any] = [
        good, {**good, "pid": 2**22 + 1, "port": 8001}, {**good, "port": 0}, {**good, "port": "80/../x"},
        {**good, "path": "//evil.test"}, {**good, "path": "../../hub"}, {**good, "tool": "other"},
        {**good, "pid": 0, "port": 8002}, {**good, "pid": -1, "port": 8003}, [], 7, {},
    ]  # fmt: skip
    for number, row in enumerate(rows):
        (folder / f"{number}.json").write_text(json.dumps(row), encoding="utf-8")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    assert batch_pages.found("/user/ann/", tmp_path) == [
        {"tool": "dask", "address": "/user/ann/proxy/8787/status"}
    ]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert batch_pages.found("/user/ann/", tmp_path) == [], "an address that nothing answers at"


def test_the_interface_tells_of_the_jobs_and_removes_and_releases_them(
    server: JobServer, condor: FakeCondor
) -> None:
    (server.home / "7.out").write_text("said", encoding="utf-8")
    condor.has(
        [
            mine(Iwd=str(server.home), Out="7.out"),
            mine(ClusterId=13, JobStatus=5, HoldReason="It needed 3000 MB."),
            mine(ClusterId=14, Owner="somebody-else"),
        ]
    )
    answer = server.get(f"{API}/batch")
    schema = json.loads(DOCS.read_text().partition("```json batch\n")[2].partition("```")[0])
    jsonschema.validate(answer, schema)
    jobs = {row["id"]: row for group in answer["groups"] for row in group["jobs"]}
    assert sorted(jobs) == ["12.0", "13.0"] and answer["problem"] is None
    assert jobs["12.0"]["files"] == [
        {"kind": "output", "where": str(server.home / "7.out"), "path": "7.out", "exists": True}
    ]
    assert act(server, "remove", {"job": "12.0"}).json() == {"jobs": 1}
    assert act(server, "release", {"group": answer["groups"][1]["id"]}).json() == {"jobs": 1}
    assert [len(condor.calls(tool)) for tool in ("condor_rm", "condor_release")] == [1, 1]
    foreign = act(server, "remove", {"job": "14.0"})
    assert foreign.status_code == 404 and "no such job" in foreign.json()["message"]
    assert len(condor.calls("condor_rm")) == 1


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"job": 12}, {"job": "12"}, {"job": "12.0 || true"}, {"job": "12.0\n"}, {"group": "x"},
        {"job": None},
        {"job": "12.0", "group": "0" * 16}, {"owner": "bob"}, {"group": 'a" || true || "'}, {"job": "１２.0"},
    ],
)  # fmt: skip
def test_a_request_that_names_no_job_reaches_no_tool(body: Any) -> None:
    from tornado.web import HTTPError

    from jupyter_afhub.batch_handlers import _chosen

    with pytest.raises(HTTPError, match="Say which"):
        _chosen(body)


def test_who_is_not_logged_in_or_comes_from_another_site_gets_nothing(
    server: JobServer, condor: FakeCondor
) -> None:
    condor.has([mine()])
    for path in ("batch", "batch/configured"):
        assert server.status(f"{API}/{path}", token="wrong") == 403
    assert act(server, "remove", {"job": "12.0"}, Authorization="token wrong").status_code == 403
    # What a page of another site could send, were there no log-in: a token against forgery that it has made up.
    made_up = {"Authorization": "", "X-XSRFToken": "made-up", "Cookie": "_xsrf=made-up"}
    assert act(server, "remove", {"job": "12.0"}, **made_up).status_code == 403
    session = requests.Session()
    session.get(f"http://127.0.0.1:{server.port}/{API}/batch?token={TOKEN}", timeout=20)
    by_cookie = session.post(
        f"http://127.0.0.1:{server.port}/{API}/batch/remove", json={"job": "12.0"}, timeout=20
    )
    assert by_cookie.status_code == 403, "a form on another page could remove jobs"
    assert condor.calls("condor_rm") == []


def test_a_schedd_that_is_down_is_a_sentence_and_costs_the_server_nothing(
    server: JobServer, condor: FakeCondor
) -> None:
    condor.does('echo "-- Failed to fetch ads from: <192.0.2.7:9618> : batch.test" >&2; exit 1')
    answer = server.get(f"{API}/batch")
    assert answer["problem"] == "-- Failed to fetch ads from: <192.0.2.7:9618> : batch.test"
    assert answer["groups"] == []
    refused = act(server, "remove", {"job": "12.0"})
    assert refused.status_code == 503 and "Failed to fetch ads" in refused.json()["message"]


def test_a_tool_that_hangs_holds_nothing_up_and_is_given_up(job_server: Start, condor: FakeCondor) -> None:
    program = "from jupyter_afhub import batch; batch.PATIENCE_S = 2"
    server = job_server(environ=condor.environ(os.environ["PATH"]), program=program)
    condor.does("exec sleep 60")
    begun = time.monotonic()
    url = f"http://127.0.0.1:{server.port}/{API}/batch"
    with requests.get(url, headers={"Authorization": f"token {TOKEN}"}, timeout=30) as answer:
        assert answer.json()["problem"] == "it did not answer within 2 seconds"
    assert time.monotonic() - begun < 15
    assert server.status("api/status") == 200


def test_many_tabs_are_one_question(job_server: Start, condor: FakeCondor) -> None:
    # However long five answers take.
    program = "from jupyter_afhub import batch_handlers; batch_handlers.FRESH_S = 600.0"
    server = job_server(environ=condor.environ(os.environ["PATH"]), program=program)
    condor.has([mine()])
    answers = [server.get(f"{API}/batch") for _ in range(5)]
    assert all(answer["groups"] for answer in answers)
    assert len(condor.calls("condor_q")) == 1


def test_without_a_batch_pool_nothing_is_asked(job_server: Start, condor: FakeCondor) -> None:
    environ = {
        "PATH": condor.environ(os.environ["PATH"])["PATH"],
        "CONDOR_CONFIG": str(condor.folder / "absent"),
    }
    server = job_server(environ=environ)
    assert server.get(f"{API}/batch") == {"version": 1, "configured": False}
    assert server.get(f"{API}/batch/configured") == {"configured": False}
    assert act(server, "remove", {"job": "12.0"}).status_code == 404
    assert condor.calls("condor_q") == []
