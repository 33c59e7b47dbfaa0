"""What tests may not leave behind on a mini-pool: files, daemons, mounts, jobs, notebooks, as lines of text by host."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from minipool import Minipool

# Configuration, and what a test may put where programs are found. Logs, spools and homes change by themselves.
FOLDERS = "/etc /usr/local"
# Passes: what runs for a moment, for a job, for somebody who is logged in, or for this look itself.
PASSING = {
    "(sd-pam)", "agetty", "bash", "condor_shadow", "condor_starter", "find", "md5sum", "ps", "runc", "sed", "sh",
    "sleep", "sort", "sshd", "sshd-auth", "sshd-session", "sudo", "systemctl", "systemd", "timeout", "xargs",
}  # fmt: skip
# HTCondor writes down whom it met, and at its start what it sets of the kernel.
GROWING = {"/etc/condor/known_hosts", "/etc/sysctl.d/99-htcondor.conf"}
PEOPLE = {"alice", "bob", "carol", "deploy"}
END = "== end of look"

# Names of all files, sums of those that changed since a moment, processes, mounts, and what a network card swallows.
LOOK = f"""
find {FOLDERS} -xdev \\( -type f -o -type l \\) -printf 'name %p\\n' 2>/dev/null
find {FOLDERS} -xdev -type f -newerct @{{since}} -print0 2>/dev/null | xargs -0 -r md5sum | sed 's/^/sum /'
ps -eo user=,state=,comm= | sed 's/^/process /'
sed -E 's/^[^ ]+ ([^ ]+) ([^ ]+) .*/mount \\1 \\2/' /proc/mounts
tc qdisc show 2>/dev/null | sed 's/^/queue /'
"""

SERVERS = (
    "SELECT users.name, spawners.name FROM spawners JOIN users ON users.id = spawners.user_id "
    "WHERE spawners.name != ''"
)


@dataclass
class Shell:
    """A shell of root's on a host that stays open, because opening one costs more than what it does here."""

    container: str
    _process: subprocess.Popen[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, script: str, timeout_s: float = 20) -> list[str]:
        """What a script prints, by lines. A host that does not answer in time has printed that."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    ["docker", "exec", "-i", self.container, "sh"], text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            process = self._process
            # A frozen host would keep us for ever.
            watchdog = threading.Timer(timeout_s, process.kill)
            watchdog.start()
            lines: list[str] = []
            try:
                assert process.stdin and process.stdout
                process.stdin.write(f"{script}\necho '{END}'\n")
                process.stdin.flush()
                for line in process.stdout:
                    if line.rstrip("\n") == END:
                        return lines
                    lines.append(line.rstrip("\n"))
            except OSError:
                pass
            finally:
                watchdog.cancel()
            return ["unreachable"]

    def close(self) -> None:
        """Ends the shell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _lines(printed: Iterable[str], sums: dict[str, str]) -> Iterator[str]:
    """What of a host's look counts, normalized; `sums` are those of the files as they were first, and grow."""
    daemons: dict[tuple[str, str], int] = {}
    for line in printed:
        kind, _, rest = line.partition(" ")
        if kind == "sum":
            digest, path = rest.split("  ", 1)
            if sums.setdefault(path, digest) != digest and path not in GROWING:
                yield f"changed {path}"
        elif kind == "process":
            user, state, command = rest.split(maxsplit=2)
            if user in PEOPLE or command in PASSING:
                continue
            daemons[user, command] = daemons.get((user, command), 0) + 1
            if state == "T":
                yield f"stopped {command} of {user}"
        elif kind == "mount":
            if not rest.startswith(("/run/user/", "/proc", "/sys")):
                yield line
        elif line:
            yield line
    for (user, command), count in daemons.items():
        # The hub has helpers and nginx has workers, now more and now less.
        yield f"daemon {command} of {user}" + (f" x{count}" if command == "condor_startd" else "")


@dataclass
class Watch:
    """Looks at a mini-pool again and again, and tells what differs from how it was first, and since which test."""

    pool: Minipool
    first: set[str] = field(default_factory=set)
    seen: list[tuple[str, set[str]]] = field(default_factory=list)
    _sums: dict[str, dict[str, str]] = field(default_factory=dict)
    _shells: dict[str, Shell] = field(default_factory=dict)
    _since: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Takes the pool as it is for how it should be."""
        self.close()
        self._sums = {host: {} for host in self.pool.hosts}
        self._shells = {host: Shell(self.pool.container(host)) for host in self.pool.hosts}
        self._since = dict.fromkeys(self.pool.hosts, "0")
        self.first = self.hosts()
        self._since = {host: shell.ask("date +%s")[0] for host, shell in self._shells.items()}
        self.seen = []

    def close(self) -> None:
        """Ends the shells on the hosts."""
        for shell in self._shells.values():
            shell.close()
        self._shells = {}

    def hosts(self) -> set[str]:
        """What is on all hosts now, each line with its host."""

        def look(host: str) -> set[str]:
            printed = self._shells[host].ask(LOOK.format(since=self._since[host]))
            return {f"{host}: {line}" for line in _lines(printed, self._sums[host])}

        with ThreadPoolExecutor(4) as threads:
            return set().union(*threads.map(look, self._shells))

    def after(self, test: str) -> None:
        """Notes how the hosts are after a test."""
        self.seen.append((test, self.hosts()))

    def jobs(self) -> set[str]:
        """Jobs, notebooks and processes that no test may leave. Default servers of alice and bob may stay."""
        found = {
            f"hub: notebook {name} of {user} (its name is taken)"
            for user, name in self.pool.database(SERVERS)
        }
        notebooks = self.pool.queue("ClusterId,ProcId,Owner,JobStatus,AfhubServer,RemoteHost")
        hosts = set()
        for ad in notebooks:
            if ad.get("AfhubServer") or ad["JobStatus"] != 2:
                found.add(f"hub: job {ad['ClusterId']}.{ad['ProcId']} of {ad['Owner']}, {ad}")
            hosts.add((str(ad.get("RemoteHost", "")).rpartition("@")[2].partition(".")[0], ad["Owner"]))
        batch = self.pool.inside(
            "batch", "condor_q -all -json -attributes ClusterId,ProcId,Owner,JobStatus,Cmd"
        )
        for ad in json.loads(batch or "[]"):
            if ad["Owner"] in ("alice", "bob"):
                found.add(f"batch: job {ad['ClusterId']}.{ad['ProcId']} of {ad['Owner']}, {ad}")
        for host in {*self.pool.group("workers"), *self.pool.group("big_servers")}:
            for line in self._shells[host].ask("ps -u alice,bob -o user=,pid=,args= --width 150"):
                if (host, line.split()[0]) not in hosts:
                    found.add(f"{host}: process {line}")
        return found

    def left_over(self) -> dict[str, str]:
        """What is other than it was first: in words, with the test since which it is so ('' where no look shows it)."""
        now = self.hosts()
        found = dict.fromkeys(self.jobs(), "")
        for line in (self.first | now) - (self.first & now):
            missing = line in self.first
            since = ""
            for test, lines in reversed(self.seen):
                if (line in lines) == missing:
                    break
                since = test
            found[f"{line} {'is missing' if missing else 'is new'}"] = since
        return found
