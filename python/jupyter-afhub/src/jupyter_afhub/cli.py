"""`afhub info` in a terminal of the notebook: where it runs, what it may use, what it uses."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_afhub import ads as condor
from jupyter_afhub.words import amount, duration

ANSWER_S = 5.0
_OUTSIDE = "This is no HTCondor job: nothing here is limited, and nothing is measured."


def main(argv: list[str] | None = None) -> int:
    """Command line of `afhub`; the exit code is 0, or 1 where there is nothing to tell."""
    parser = argparse.ArgumentParser(prog="afhub", description="About the notebook this terminal belongs to.")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what this notebook may use and uses")
    info.add_argument("--json", action="store_true", help="the answer of the server as it is")
    wanted = parser.parse_args(argv)
    told = from_server(os.environ) or by_myself(os.environ)
    print(json.dumps(told, indent=2) if wanted.json else describe(told))
    return 0 if told["in_job"] else 1


def servers(environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What the Jupyter servers of this account say of themselves; those this process descends from come first."""
    folder = environ.get("JUPYTER_RUNTIME_DIR")
    if not folder:
        from jupyter_core.paths import jupyter_runtime_dir

        folder = jupyter_runtime_dir()
    found: list[dict[str, Any]] = []
    for path in Path(folder).glob("jpserver-*.json"):
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(row["pid"], int) and isinstance(row["port"], int):
                found.append(row)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    ancestors = _ancestors()
    yield from sorted(
        (row for row in found if row["pid"] in ancestors), key=lambda row: ancestors.index(row["pid"])
    )


def _ancestors() -> list[int]:
    """This process and those above it, nearest first."""
    from jupyter_afhub.processes import read

    found: list[int] = []
    process = read(os.getpid())
    while process and process.pid not in found:
        found.append(process.pid)
        process = read(process.parent)
    return found


def from_server(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What the server this terminal belongs to says, or None where none answers."""
    for row in servers(environ):
        # A server of a hub has no token of its own: it knows the one the hub gave to both of us.
        token = row.get("token") or environ.get("JUPYTERHUB_API_TOKEN") or ""
        try:
            told = _get(row, token)
        except (OSError, ValueError, RecursionError, http.client.HTTPException):
            continue
        if told is not None:
            return told
    return None


def _get(row: Mapping[str, Any], token: str) -> dict[str, Any] | None:
    connection: http.client.HTTPConnection
    where = urlsplit(str(row.get("url", "")))
    if where.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(where.netloc, timeout=ANSWER_S, context=context)
    else:
        # Never through a network: the token is for this machine.
        connection = http.client.HTTPConnection("127.0.0.1", row["port"], timeout=ANSWER_S)
    try:
        path = f"{str(row.get('base_url', '/')).rstrip('/')}/api/afhub/v1/info"
        connection.request("GET", path, headers={"Authorization": f"token {token}"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        return None
    told = json.loads(content)
    return told if isinstance(told, dict) and "in_job" in told else None


def by_myself(environ: Mapping[str, str]) -> dict[str, Any]:
    """What can be known without a server: no history, and kernels are not told apart."""
    if not condor.in_job(environ):
        return {"version": 1, "in_job": False}
    from jupyter_afhub import job, measure

    ads = condor.read(environ)
    facts = job.describe(ads, environ)
    meter = measure.Meter(ads, environ)
    seen = meter.look()
    used_mb, limit = seen.used / measure.MB, facts.memory_limit_mb
    return {
        "version": 1, "in_job": True,
        "class": {"name": facts.class_name, "title": facts.class_title, "memory_limit_mb": limit,
                  "cores": facts.cores, "runtime_s": facts.runtime_s},
        "job": {"id": facts.id, "owner": facts.owner, "time_left_s": facts.time_left_s(meter.age_s()),
                "vacate_s": facts.vacate_s},
        "slot": facts.slot,
        "node": measure.node(ads, environ, meter.other_notebooks()),
        "memory": {"used_mb": round(used_mb, 1), "limit_mb": limit,
                   "fraction": round(used_mb / limit, 4) if limit else None, "source": seen.source},
        "problems": [*ads.problems, "The notebook's server does not answer: this was measured without it."],
    }  # fmt: skip


def describe(told: Mapping[str, Any]) -> str:
    """The answer for people: one line each."""
    if not told["in_job"]:
        return _OUTSIDE
    kind, job, node, memory = told["class"], told["job"], told["node"], told["memory"]
    what = kind["title"] or "unknown"
    rows = [("Class", what + (", " + _cores(kind["cores"]) if kind["cores"] else ""))]
    used = amount(memory["used_mb"])
    if memory["limit_mb"]:
        used += f" of {amount(memory['limit_mb'])} ({memory['fraction']:.0%})"
    if memory.get("peak_mb") is not None:
        used += f", at most {amount(memory['peak_mb'])} so far"
    if memory.get("full_in_s") is not None:
        used += f"; full in {duration(memory['full_in_s'])} if it grows on"
    rows.append(("Memory", used))
    for kernel in told.get("kernels", ()):
        size = "not measured yet" if kernel["memory_mb"] is None else amount(kernel["memory_mb"])
        rows.append(("", f"{size}  {kernel['path'] or kernel['name']} ({kernel['state']})"))
    if told.get("cpu"):
        rows.append(("CPU", f"{told['cpu']['percent']:.0f} % of one core"))
    left = job["time_left_s"]
    rows.append(("Time left", "no limit is known" if left is None else duration(left)))
    where = node["name"]
    if node["load"]:
        where += f", load {node['load'][0]:g} on {node['cores']} cores"
    if node["memory_free_mb"] is not None:
        where += f", {amount(node['memory_free_mb'])} of {amount(node['memory_total_mb'])} free"
    rows.append(("Node", where))
    if node["scratch_free_mb"] is not None:
        rows.append(("Scratch", f"{amount(node['scratch_free_mb'])} free"))
    rows.append(
        (
            "Job",
            " ".join(part for part in (job["id"], told["slot"] and f"in {told['slot']}") if part)
            or "unknown",
        )
    )
    rows += [("Message", _plain(notice["text"])) for notice in told.get("notices", ())]
    rows += [("Warning", f"{warning['title']}. {warning['text']}") for warning in told.get("warnings", ())]
    rows += [("Problem", problem) for problem in told["problems"]]
    return "\n".join(f"{name:<11}{text}" for name, text in rows)


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _plain(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
