"""The extension in a real Jupyter server: what it tells, to whom, and what it makes of broken surroundings."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from fake_chirp import FakeChirp
from job_server import API, JOB_AD, TOKEN, JobServer
from minipool import wait_for

DOCS = Path(__file__).parents[3] / "docs" / "notebook-extension.md"

Start = Callable[..., JobServer]


def notice(name: str, text: str, level: str = "info") -> dict[str, object]:
    return {
        "id": name,
        "level": level,
        "text": text,
        "at": "2026-01-01T12:00:00Z",
        "until": None,
        "from": "admin",
    }


def as_attribute(rows: object) -> str:
    text = json.dumps(rows, ensure_ascii=False)
    return '"' + text.replace('"', '\\"') + '"'


def with_chirp(server_folder: Path, chirp: FakeChirp) -> dict[str, str]:
    (server_folder / "scratch").mkdir(exist_ok=True)
    return {"_CONDOR_CHIRP_CONFIG": str(chirp.configure(server_folder / "scratch"))}


def answers_quickly(server: JobServer, looks: int = 20) -> None:
    """The server itself has to be as quick as ever."""
    slowest = 0.0
    for _ in range(looks):
        begun = time.monotonic()
        assert server.status("api/status") == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 1.5, f"an answer took {slowest:.2f} s"


def test_it_tells_what_the_job_may_use_and_uses(job_server: Start) -> None:
    server = job_server(environ={"AFHUB_CLASS_TITLE": "Regular"})
    kernel = server.session()

    def measured() -> bool:
        rows = server.info()["kernels"]
        return bool(rows) and rows[0]["memory_mb"] is not None and rows[0]["memory_mb"] > 10

    wait_for("the kernel is measured", measured, timeout_s=30)
    with_tab = server.tab()
    with_tab.hears("info")
    info = with_tab.hears("info")["info"]
    assert info["class"] == {
        "name": "regular", "title": "Regular", "memory_limit_mb": 4096, "cores": 2, "runtime_s": 43200,
    }  # fmt: skip
    assert (info["job"]["id"], info["job"]["owner"], info["job"]["vacate_s"]) == ("7.0", "ann", 10)
    assert 43200 - 120 < info["job"]["time_left_s"] <= 43200
    assert info["slot"] == "slot1@notebooks@w.test" and info["node"]["name"] == "w.test"
    assert info["node"]["cores"] == os.cpu_count() and info["node"]["scratch_total_mb"] > 0
    assert info["memory"]["source"] == "processes" and 30 < info["memory"]["used_mb"] < 1000
    assert info["memory"]["peak_mb"] >= info["memory"]["used_mb"]
    (row,) = info["kernels"]
    assert (row["id"], row["path"], row["name"]) == (kernel, "analysis.ipynb", "python3")
    assert 0 < row["share"] < 1 and row["memory_mb"] < info["memory"]["used_mb"]
    schema = json.loads(DOCS.read_text().partition("```json\n")[2].partition("```")[0])
    jsonschema.validate(info, schema)
    assert set(info) == set(schema["properties"])
    for part in ("class", "job", "node", "memory", "cpu", "hub"):
        assert set(info[part]) == set(schema["properties"][part]["properties"]), part
    assert set(row) == set(schema["properties"]["kernels"]["items"]["properties"])
    assert info["warnings"] == [] and info["notices"] == [] and info["silenced"] == []
    history = server.get(f"{API}/history")
    assert history["points"] and all(len(point) == 3 and point[1] > 30 for point in history["points"])


def test_a_kernel_counts_from_its_start_on(job_server: Start) -> None:
    server = job_server()
    server.info()
    # Several within one interval of the measuring: at least one of them began after the last look.
    for _ in range(2):
        kernel = server.session()
        assert kernel in {row["id"] for row in server.info()["kernels"]}


def test_a_terminal_and_a_cell_show_the_same(job_server: Start, tmp_path: Path) -> None:
    server = job_server()
    kernel = server.session()
    said = server.home / "said"
    server.execute(kernel, (
        "import json, subprocess, sys\n"
        "get_ipython().run_line_magic('load_ext', 'jupyter_afhub')\n"
        "get_ipython().run_line_magic('afhub', '')\n"
        "command = [sys.executable, '-m', 'jupyter_afhub.cli', 'info', '--json']\n"
        "done = subprocess.run(command, capture_output=True, text=True)\n"
        f"open({str(said) + '.part'!r}, 'w').write(done.stdout + done.stderr)\n"
        f"import os; os.rename({str(said) + '.part'!r}, {str(said)!r})\n"
    ))  # fmt: skip
    wait_for("the command has ended", said.exists, timeout_s=30)
    told = json.loads(said.read_text())
    # Only the server knows its kernels: this did not come from the command's own measuring.
    assert [row["id"] for row in told["kernels"]] == [kernel]
    assert told["class"] == server.info()["class"]


def test_only_its_user_is_told(job_server: Start) -> None:
    server = job_server()
    for path in ("info", "history", "stream"):
        assert server.status(f"{API}/{path}", token="another") == 403, path
    assert server.status("api/metrics/v1", token="another") == 403


def test_outside_of_a_job_it_is_silent(job_server: Start) -> None:
    server = job_server(job_ad=None, environ=dict.fromkeys(
        ("_CONDOR_JOB_AD", "_CONDOR_MACHINE_AD", "_CONDOR_SCRATCH_DIR", "_CONDOR_SLOT")))  # fmt: skip
    assert server.info() == {"version": 1, "in_job": False}
    tab = server.tab()
    assert tab.hears("info")["info"] == {"version": 1, "in_job": False}
    # jupyter-resource-usage measures by itself there.
    assert "limits" in server.get("api/metrics/v1")
    assert server.process
    server.process.send_signal(signal.SIGTERM)
    assert server.ends() == 0
    assert "jupyter_afhub:" not in server.log


def test_resource_usage_shows_the_same_figure(job_server: Start) -> None:
    server = job_server()
    kernel = server.session()
    server.execute(
        kernel, "import subprocess\nblock = bytearray(100_000_000)\nblock[::4096] = b'x' * len(block[::4096])"
    )

    def agree() -> bool:
        before, usage, after = server.info(), server.get("api/metrics/v1"), server.info()
        if before["memory"] != after["memory"]:
            return False
        assert round(usage["rss"] / 2**20, 1) == before["memory"]["used_mb"] and usage["pss"] == usage["rss"]
        assert usage["limits"]["memory"]["rss"] == 4096 * 2**20
        assert usage["limits"]["memory"]["warn"] is False
        return True

    wait_for("both are asked between two looks", agree, timeout_s=20, every_s=0.05)


def test_asking_for_it_is_no_use_of_the_notebook(job_server: Start) -> None:
    server = job_server()
    before = server.get("api/status")["last_activity"]
    settled = server.get("api/status")["last_activity"]
    for _ in range(3):
        for path in (f"{API}/info", f"{API}/history", "api/metrics/v1"):
            server.get(path)
    assert before <= settled
    chirped = server.get("api/status?no_track_activity=1")["last_activity"]
    assert chirped == server.get("api/status?no_track_activity=1")["last_activity"]


def test_a_kernel_at_work_is_use(job_server: Start, chirp: FakeChirp, tmp_path: Path) -> None:
    server = job_server(
        environ=with_chirp(tmp_path, chirp), program="chirp.REPORT_EVERY_S = 1.0", own_time=True
    )
    wait_for("HTCondor has been asked", lambda: chirp.reads, timeout_s=20)
    server.info()
    # Measured, so there is something to report; with nobody looking it is reported within half a minute.
    server.clock.passes(30)
    wait_for("idle time is reported", lambda: chirp.attributes.get("ChirpAfhubIdleSince"), timeout_s=20)
    assert int(chirp.attributes["ChirpAfhubIdleSince"]) > 0
    kernel = server.session()
    server.execute(kernel, "import time\ntime.sleep(300)")
    # Somebody looks, so that what is reported is reported at once.
    tab = server.tab()
    wait_for(
        "the kernel is reported busy",
        lambda: (
            (chirp.attributes["ChirpAfhubIdleSince"], chirp.attributes["ChirpAfhubBusyKernels"]) == ("0", "1")
        ),
        timeout_s=30,
    )
    assert int(chirp.attributes["ChirpAfhubMemoryPeakMb"]) > 30

    def activity() -> str:
        return str(server.get("api/status?no_track_activity=1")["last_activity"])

    before = activity()
    wait_for("Jupyter takes the notebook for used", lambda: activity() > before, timeout_s=20)
    tab.close()


def test_a_kernel_is_charged_for_its_children(job_server: Start) -> None:
    server = job_server(program="monitor.SAMPLE_S = 1.0")
    kernel = server.session()
    server.execute(kernel, (
        "import subprocess, sys, time\n"
        "command = [sys.executable, '-S', '-c', 'import time; time.sleep(100)']\n"
        "children = [subprocess.Popen(command) for _ in range(50)]\n"
        "time.sleep(100)"
    ))  # fmt: skip

    # A bare Python has some 8 MB; each of them counts, also where they share pages.
    def kernels_mb() -> float:
        return sum(row["memory_mb"] or 0 for row in server.info()["kernels"])

    wait_for("all children are measured", lambda: kernels_mb() > 50 * 6, timeout_s=60)
    info = server.info()
    assert info["kernels"][0]["memory_mb"] < info["memory"]["used_mb"]
    assert 0.5 < info["kernels"][0]["share"] < 1
    answers_quickly(server)


@pytest.mark.parametrize("ad", ["", "\x00\xff garbage ==\n= 5\n", "a directory", "nothing"])
def test_unreadable_ads_do_no_harm(job_server: Start, tmp_path: Path, ad: str) -> None:
    path = tmp_path / "the.ad"
    if ad == "a directory":
        path.mkdir()
    elif ad != "nothing":
        path.write_text(ad)
    server = job_server(environ={"_CONDOR_JOB_AD": str(path), "_CONDOR_MACHINE_AD": str(path)})
    info = server.info()
    assert info["in_job"] is True
    assert info["job"]["id"] is None and info["job"]["time_left_s"] is None and info["job"]["ends_at"] is None
    assert info["memory"]["limit_mb"] is None and info["memory"]["fraction"] is None
    assert info["memory"]["used_mb"] > 30
    assert any("ad of the job" in problem for problem in info["problems"])
    answers_quickly(server)


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_differ_by_an_hour_change_nothing(job_server: Start, hours: int) -> None:
    began = int(time.time()) + hours * 3600
    server = job_server(job_ad=JOB_AD + f"ShadowBday = {began}\nJobCurrentStartDate = {began}\n")
    job = server.info()["job"]
    assert 43200 - 120 < job["time_left_s"] <= 43200
    # Times are those of the hub, whose journal and mails the user may compare them with.
    expected = time.strftime("%Y-%m-%dT%H", time.gmtime(began))
    assert job["started_at"].startswith(expected)


def test_without_chirp_it_says_so_once(job_server: Start) -> None:
    server = job_server()
    wait_for("the problem is told", lambda: server.info()["problems"], timeout_s=20)
    (problem,) = server.info()["problems"]
    assert "no Chirp" in problem
    answers_quickly(server)
    assert "Traceback" not in server.log


def test_a_shadow_that_never_answers_keeps_nobody_waiting(
    job_server: Start, chirp: FakeChirp, tmp_path: Path
) -> None:
    chirp.manner = "is silent"
    server = job_server(environ=with_chirp(tmp_path, chirp), own_time=True)
    tab = server.tab()
    wait_for("somebody asks in vain", lambda: chirp.connections, timeout_s=20)
    answers_quickly(server)
    tab.hears("info")
    server.clock.passes(30)
    wait_for(
        "the problem is told", lambda: "has not answered" in str(server.info()["problems"]), timeout_s=20
    )
    # It comes back: what was to be said arrives.
    chirp.attributes["AfhubNotices"] = as_attribute([notice("n1", "Back again.")])
    chirp.manner = "answers"
    server.clock.passes(60)
    tab.hears("notice", within_s=20)
    assert server.info()["problems"] == []


def test_a_notice_comes_to_one_tab_within_two_seconds(
    job_server: Start, chirp: FakeChirp, tmp_path: Path
) -> None:
    server = job_server(environ=with_chirp(tmp_path, chirp))
    first, second = server.tab(), server.tab()
    wait_for("the attribute is read", lambda: chirp.reads, timeout_s=20)
    first.say("visible", visible=True)
    second.say("visible", visible=False)
    # A tab's words are taken in their order: once the second hears this, the first is known to be in front.
    first.say("read", id="unheard-of")
    second.hears("seen", id="unheard-of")
    begun = time.monotonic()
    chirp.attributes["AfhubNotices"] = as_attribute(
        [notice("n1", 'The node is drained at "ten".', "warning")]
    )
    told = first.hears("notice", within_s=10)
    assert time.monotonic() - begun < 2
    assert told["notice"] == {
        "id": "n1", "level": "warning", "text": 'The node is drained at "ten".', "at": "2026-01-01T12:00:00Z",
        "until": None, "from": "admin",
    }  # fmt: skip
    first.say("shown", id="n1")
    wait_for("delivery is reported", lambda: chirp.attributes.get("ChirpAfhubSeen") == '"n1:d"', timeout_s=10)
    first.say("read", id="n1")
    second.hears("seen", id="n1")
    wait_for("reading is reported", lambda: chirp.attributes.get("ChirpAfhubSeen") == '"n1:r"', timeout_s=10)
    assert second.heard("notice") == []
    assert server.info()["notices"] == []


def test_a_notice_waits_for_somebody_and_moves_to_who_is_left(
    job_server: Start, chirp: FakeChirp, tmp_path: Path
) -> None:
    chirp.attributes["AfhubNotices"] = as_attribute([notice("n1", "Hello.")])
    server = job_server(environ=with_chirp(tmp_path, chirp))
    wait_for("the attribute is read", lambda: server.info()["notices"], timeout_s=20)
    first = server.tab()
    first.hears("notice")
    second = server.tab()
    second.hears("info")
    first.close()
    second.hears("notice")


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("x" * 100_000, "x" * 1999 + "…"),
        (
            "<script>alert('1')</script><b>bold</b> & \x1b[31mred",
            "<script>alert('1')</script><b>bold</b> &  [31mred",
        ),
    ],
    ids=["100 kB", "HTML"],
)
def test_a_strange_message_arrives_as_short_plain_text(
    job_server: Start, chirp: FakeChirp, tmp_path: Path, sent: str, received: str
) -> None:
    chirp.attributes["AfhubNotices"] = as_attribute([notice("n1", sent)])
    server = job_server(environ=with_chirp(tmp_path, chirp))
    tab = server.tab()
    assert tab.hears("notice")["notice"]["text"] == received
    answers_quickly(server)


def test_memory_warnings_name_the_kernel_and_are_over_when_it_is(job_server: Start) -> None:
    server = job_server(job_ad=JOB_AD.replace("= 4096", "= 400"))
    kernel = server.session()
    tab = server.tab()
    server.execute(kernel, "block = bytearray(250_000_000)\nblock[::4096] = b'x' * len(block[::4096])")
    told = tab.hears("warning", within_s=30)["warning"]
    assert told["kind"] == "memory" and told["threshold"] in (80, 95)
    assert told["kernel"]["id"] == kernel and told["kernel"]["path"] == "analysis.ipynb"
    assert "analysis.ipynb" in told["text"] and "400 MB" in told["text"]
    tab.say("shown", id=told["id"])
    # A look amid the growing finds the lower threshold crossed, the next one the higher.
    (crossed,) = server.info()["warnings"]
    assert crossed["kind"] == "memory" and crossed["threshold"] >= told["threshold"]
    server.execute(kernel, "del block")
    tab.hears("warning_over", id=crossed["id"])
    assert server.info()["warnings"] == []


def test_what_was_silenced_stays_silent(job_server: Start) -> None:
    server = job_server(job_ad=JOB_AD.replace("= 4096", "= 400").replace("43200", "300"))
    tab = server.tab()
    told = tab.hears("warning")["warning"]
    assert told["kind"] == "time"
    tab.say("silence", kind="memory")
    kernel = server.session()
    server.execute(kernel, "block = bytearray(250_000_000)\nblock[::4096] = b'x' * len(block[::4096])")
    wait_for(
        "memory is above its threshold",
        lambda: any(warning["kind"] == "memory" for warning in server.info()["warnings"]), timeout_s=30,
    )  # fmt: skip
    assert [message["warning"]["kind"] for message in tab.heard("warning")] == ["time"]
    assert server.info()["silenced"] == ["memory"]


def test_unsaved_documents_are_written_before_the_server_stops(job_server: Start) -> None:
    server = job_server()
    (server.home / "there.txt").write_text("old")
    modified = server.get("api/contents/there.txt?content=0")["last_modified"]
    first, second = server.tab(), server.tab()
    first.hears("info")
    second.hears("info")
    assert server.process
    server.process.send_signal(signal.SIGTERM)
    ask = first.hears("save")
    assert ask["reason"] == "stopped" and 1 <= ask["deadline_s"] <= 5
    document = {"save_id": ask["id"], "path": "there.txt", "doc_type": "file", "format": "text"}
    first.say("document", content="typed, not saved", last_modified=modified, **document)
    assert first.hears("document_saved") == {
        "type": "document_saved", "save_id": ask["id"], "path": "there.txt", "saved_as": "there.txt", "error": None,
    }  # fmt: skip
    # The other tab had the same file open, and typed something else.
    second.say("document", content="typed elsewhere", last_modified="2020-01-01T00:00:00Z", **document)
    assert second.hears("document_saved")["saved_as"] == "there-recovered.txt"
    first.say("saved", save_id=ask["id"], documents=1, failed=[])
    second.say("saved", save_id=ask["id"], documents=1, failed=[])
    assert server.ends() == 0
    assert "all tabs have saved" in server.log and "not all tabs have saved" not in server.log
    assert (server.home / "there.txt").read_text() == "typed, not saved"
    assert (server.home / "there-recovered.txt").read_text() == "typed elsewhere"


def test_a_tab_that_does_not_answer_is_not_waited_for_long(job_server: Start) -> None:
    server = job_server(job_ad=JOB_AD.replace("JobMaxVacateTime = 10", "JobMaxVacateTime = 7"))
    server.tab().hears("info")
    tab = server.tab()
    tab.hears("info")
    assert server.process
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.ends() == 0
    assert time.monotonic() - begun > 1.5
    assert "not all tabs have saved within 2 s" in server.log


def test_with_no_tab_open_it_stops_at_once(job_server: Start) -> None:
    server = job_server()
    tab = server.tab()
    tab.hears("info")
    tab.close()
    wait_for("the tab is gone", lambda: server.process and server.status("api/status") == 200)
    assert server.process
    server.process.send_signal(signal.SIGTERM)
    assert server.ends() == 0
    assert "not all tabs have saved" not in server.log


def test_nobody_writes_documents_before_they_are_asked_for(job_server: Start) -> None:
    server = job_server()
    tab = server.tab()
    tab.hears("info")
    tab.say(
        "document",
        save_id="",
        path="new.txt",
        doc_type="file",
        format="text",
        content="x",
        last_modified=None,
    )
    assert tab.hears("document_saved")["error"] == "nobody has asked for it"
    assert not (server.home / "new.txt").exists()
    assert TOKEN not in server.log
