"""What make up does beside its other stages: reported like them, and never left behind."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """\
set -euo pipefail
. {root}/tools/lib.sh
log={folder}/log
cure="look at it"
: >"$log"
{body}
"""


def start(folder: Path, body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", SCRIPT.format(root=ROOT, folder=folder, body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_both_are_reported_and_logged(tmp_path: Path) -> None:
    # Neither could end by itself: each waits for the other.
    script = start(
        tmp_path,
        'meet() { touch "$log.$1"; until [ -e "$log.$2" ]; do sleep 0.05; done; echo "$1 met $2"; }\n'
        'beside "Left" meet left right\nstage "Right" meet right left\njoin\n',
    )
    output, _ = script.communicate(timeout=60)
    assert script.returncode == 0, output
    assert [line.split()[0] for line in output.splitlines()] == ["Right", "Left"]
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["left met right", "right met left"]
    assert {path.name for path in tmp_path.glob("log.beside*")} == set()


def test_a_failure_beside_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = start(
        tmp_path,
        'broken() { echo "no network"; return 3; }\nbeside "Tools" broken\nstage "Images" true\njoin\necho more\n',
    )
    output, _ = script.communicate(timeout=60)
    assert script.returncode == 1
    assert "no network" in output and "'Tools' failed." in output and "look at it" in output
    assert "more" not in output


def test_what_runs_beside_ends_when_another_stage_fails_or_the_script_is_told_to_end(tmp_path: Path) -> None:
    body = 'long() { sleep 300 & echo $! >"$log.pid"; wait; }\nbeside "Tools" long\n'
    body += 'until [ -s "$log.pid" ]; do sleep 0.05; done\n'
    pid_file = tmp_path / "log.pid"

    failing = start(tmp_path, body + 'stage "Images" false\n')
    output, _ = failing.communicate(timeout=60)
    assert failing.returncode == 1 and "'Images' failed." in output
    wait_until(lambda: not runs(int(pid_file.read_text())), "the stage beside a failed one still runs")

    pid_file.unlink()
    told = start(tmp_path, body + 'touch "$log.ready"\nstage "Images" sleep 1\nstage "More" sleep 300\n')
    wait_until((tmp_path / "log.ready").exists, "the script is not ready")
    told.send_signal(signal.SIGTERM)
    told.communicate(timeout=60)
    assert told.returncode == 143
    wait_until(lambda: not runs(int(pid_file.read_text())), "the stage beside an ended script still runs")


def test_the_tools_are_installed_by_one_at_a_time(tmp_path: Path) -> None:
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    with (tmp_path / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(
            ["tools/venv.sh", "deploy"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert second.stdout
        assert "Waiting for another run" in second.stdout.readline()
        # What the first one leaves when it is done.
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        (tmp_path / ".venv" / "bin" / "python").symlink_to(shutil.which("true") or "/bin/true")
        version = subprocess.run(["python3", "-V"], capture_output=True, check=True).stdout
        lock_file = (tmp_path / "requirements" / "deploy.txt").read_bytes()
        stamp = hashlib.sha256(version + lock_file).hexdigest()[:16]
        (tmp_path / ".venv" / f".afhub-deploy-{stamp}").touch()
        assert second.poll() is None
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "up to date" in output
