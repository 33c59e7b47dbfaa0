"""Ways to break a part of a running mini-pool. What a `with` block breaks is whole again after it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hubclient import hub_answers

from minipool import ROOT, Minipool, wait_for

# How the command line of a daemon begins, by the name that its master gives it.
PROCESS = {"schedd": "[c]ondor_schedd", "startd_nb": "[c]ondor_startd -local-name NB"}
# By which the processes are known that these functions leave running on a host.
WATCHER = "afhub-tests-watch"


@dataclass
class Lost:
    """What is broken for longer than one test: hosts that are cut off, and notebooks (user, server) that are gone."""

    hosts: set[str] = field(default_factory=set)
    notebooks: set[tuple[str, str]] = field(default_factory=set)


@contextmanager
def frozen(pool: Minipool, host: str, *commands: str) -> Iterator[None]:
    """Processes of a host that stand still: they keep their connections and answer nothing."""
    # The kernel knows a process by the first 15 letters of its command.
    names = [shlex.quote(command[:15]) for command in commands]
    try:
        pool.check(host, " && ".join(f"pkill -STOP -x {name}" for name in names))
        yield
    finally:
        pool.check(host, " && ".join(f"pkill -CONT -x {name}" for name in names))


@contextmanager
def no_matches(pool: Minipool) -> Iterator[None]:
    """The negotiator stands still: every start waits in the queue."""
    with frozen(pool, "nbcm", "condor_negotiator"):
        yield


@contextmanager
def stopped_while_it_starts(pool: Minipool, user: str) -> Iterator[None]:
    """A notebook server that stands still from its first moment, long before it listens; it goes on at the end."""
    watcher = (
        f"timeout 120 sh -c 'until pkill -STOP -u {user} -x afhub-notebook; do sleep 0.05; done' {WATCHER}"
    )
    workers = pool.group("workers")
    try:
        for host in workers:
            pool.engine("exec", "--detach", pool.container(host), "sh", "-c", watcher)
        yield
    finally:
        for host in workers:
            pool.inside(
                host, f"pkill -f '[{WATCHER[0]}]{WATCHER[1:]}'; pkill -CONT -u {user} -x afhub-notebook; true"
            )


@contextmanager
def daemon_off(pool: Minipool, host: str, daemon: str) -> Iterator[None]:
    """A daemon of HTCondor that is switched off at once, and that its master does not start again."""
    running = f"pgrep -f {shlex.quote(PROCESS[daemon])}"
    try:
        pool.check(host, f"condor_off -fast -daemon {daemon}")
        wait_for(f"{daemon} of {host} is off", lambda: pool.run(host, running).returncode != 0, 90)
        yield
    finally:
        pool.check(host, f"condor_on -daemon {daemon}")
        works = "condor_q -total" if daemon == "schedd" else running
        wait_for(f"{daemon} of {host} works", lambda: pool.run(host, works).returncode == 0, 90)


def kill_hub(pool: Minipool) -> None:
    """Kills the hub and its helpers with -9, and waits until the one that systemd starts in its place answers."""
    pid = pool.check("hub", "systemctl show -P MainPID afhub-hub")
    assert pid.strip() != "0", "the hub does not run"
    pool.check("hub", "systemctl kill --signal=KILL afhub-hub")
    wait_for(
        "systemd started the hub anew",
        lambda: pool.check("hub", "systemctl show -P MainPID afhub-hub") not in (pid, "0\n"),
        90,
    )
    wait_for("the hub answers again", lambda: hub_answers(pool), 60)


@contextmanager
def cut_off(pool: Minipool, host: str) -> Iterator[None]:
    """A host without a network: nothing it sends arrives and nothing reaches it, and nobody is told."""
    address = pool.engine(
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}",
        pool.container(host),
    ).strip()
    try:
        # What it sends is swallowed; what others send goes to a network card that is not there any more.
        pool.inside(
            host, "tc qdisc replace dev eth0 root blackhole && ip link set eth0 address 02:00:00:00:00:01"
        )
        yield
    finally:
        pool.inside(host, f"ip link set eth0 address {address} && tc qdisc del dev eth0 root")
        knock = f"timeout 2 bash -c '</dev/tcp/{host}/22' && echo open; true"
        wait_for(f"{host} is reachable", lambda: "open" in pool.inside("nbcm", knock))


@contextmanager
def power_off(pool: Minipool, host: str) -> Iterator[None]:
    """A host that dies without a word, and boots again at the end."""
    slots = {slot["Name"] for slot in pool.slots() if slot["Machine"].partition(".")[0] == host}
    before = pool.inside("nbcm", "date +%s").strip()
    pool.engine("kill", pool.container(host))
    try:
        yield
    finally:
        pool.engine("start", pool.container(host))
        # The engine may have given it another address.
        domain = pool.host_vars(host)["notebook_domain"]
        subprocess.run(
            [str(ROOT / "docker/tasks/open-ssh.sh"), pool.prefix, domain, str(pool.state), *pool.hosts],
            check=True, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(
            f"{host} offers its slots anew",
            lambda: (
                slots <= {slot["Name"] for slot in pool.slots() if slot["DaemonStartTime"] >= int(before)}
            ),
            90,
        )


@contextmanager
def smaller_slots(pool: Minipool, hosts: list[str], memory_mb: int) -> Iterator[None]:
    """Hosts whose notebook startd has less memory to offer than the inventory says."""
    extra = "/etc/condor/config.d/99-tests-smaller-slots.conf"

    def restart(change: str) -> None:
        for host in hosts:
            with daemon_off(pool, host, "startd_nb"):
                pool.check(host, change)

    def total_memory() -> set[int]:
        slots = [slot for slot in pool.slots() if slot["Machine"].partition(".")[0] in hosts]
        return {slot["TotalMemory"] for slot in slots} if len(slots) >= len(hosts) else set()

    before = total_memory()
    try:
        restart(f"echo 'NB.MEMORY = {memory_mb}' > {extra}")
        wait_for("the slots are smaller", lambda: total_memory() == {memory_mb})
        yield
    finally:
        restart(f"rm -f {extra}")
        wait_for("the slots are as large as before", lambda: total_memory() == before)


@contextmanager
def mounted_over(pool: Minipool, hosts: list[str], folder: str, options: str) -> Iterator[None]:
    """A small file system of its own in the place of a folder of these hosts."""
    path = shlex.quote(folder)
    try:
        for host in hosts:
            pool.check(host, f"mount -t tmpfs -o {options} tmpfs {path}")
        yield
    finally:
        for host in hosts:
            pool.check(host, f"while mountpoint -q {path}; do umount -l {path}; done")
