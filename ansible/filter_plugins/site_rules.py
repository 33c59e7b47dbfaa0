"""What a site's inventory has to fulfil before a deployment may change anything.

The filter ``site_report`` reads the variables of all hosts, the groups, and the facts of the hosts in play.
It returns one text with every violation, each as "variable — value — what to write instead", or an empty
text. It changes nothing. Which variables exist, and of which type, comes from the ``meta/argument_specs.yml``
of the roles. The rules that look at more than one value are the functions of ``RULES``.
"""

from __future__ import annotations

import datetime
import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import yaml
from ansible.errors import AnsibleError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jinja2 import TemplateError, Undefined

REPOSITORY = Path(__file__).resolve().parents[2]

# A variable that starts like this is meant for this project: one that nobody knows is a mistake.
PREFIXES = ("notebook_", "jupyterhub_", "hub_proxy_", "cvmfs_", "condor_", "batch_", "munge_", "outsourcing_")
# What may differ between hosts. Every other site fact is the same for all of them.
PER_HOST_FACTS = {
    "notebook_host_cores",
    "notebook_host_memory_mb",
    "notebook_oversubscribe",
    "notebook_allow_untested_os",
}
# The least that a worker of Dask and Spark needs.
WORKER_LEAST = {"cores": 1, "memory_mb": 960, "disk_mb": 256}
CLASS_NUMBERS = ("memory_limit_mb", "slot_memory_mb", "cores", "runtime_s", "slots_per_host")
POSITIVE_FACTS = (
    "notebook_max_per_user",
    "notebook_lease_s",
    "notebook_host_cores",
    "notebook_host_memory_mb",
    "cvmfs_quota_limit_mb",
)
# Where validate.yml leaves what `getent hosts` said about the hub's name.
LOOKUP_RESULT = "__validate_hub_lookup"
HTCONDOR_PORT = 9618
ALL_HOSTS_GROUPS = {"all", "ungrouped"}
# The playbooks make notebook startds on the hosts of these, and so on those of every group inside them.
NOTEBOOK_GROUPS = ("workers", "big_servers")
SUPPORTED_RELEASES = {"Debian": {"12", "13"}, "Ubuntu": {"22.04", "24.04"}}
SUPPORTED_TEXT = "Debian 12 or 13, Ubuntu 22.04 or 24.04, or Enterprise Linux 9"
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
SECRET_NAME = re.compile(r"pass|secret|token|key|vault")
CLASS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

WHAT_TO_WRITE = {
    "str": "write text, in quotes where it looks like a number or like true and false",
    "path": "write a path, in quotes",
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "bool": "write true or false, without quotes",
    "list": "write a list, one '- item' a line",
    "dict": "write keys and values, one 'key: value' a line",
}


class _NotSet:
    """Stands for a variable without a value, where None would be taken for a value."""

    def __str__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
BROKEN = "a template that fails"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong, and its cure. `host` is empty where it does not depend on a host."""

    variable: str
    value: object
    cure: str
    host: str = ""

    @property
    def shown_value(self) -> str:
        """The value in one line, not longer than a line can be read."""
        if self.value is None:
            text = "empty"
        elif isinstance(self.value, str | _NotSet):
            text = " ".join(str(self.value).split()) or "empty"
        else:
            text = json.dumps(self.value, default=str, ensure_ascii=False)
        return text if len(text) <= 100 else text[:97] + "..."


Option = Mapping[str, Any]

# The parser in C takes a tenth of the time for the same; not every PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _read_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506


@dataclass(frozen=True)
class Specs:
    """The variables that the roles know.

    `facts` are those of role site_facts, which a site has to set where they are required. `inputs` are those
    of all other roles: checked where a site sets them, never required here, as the playbooks pass most of
    them. `names` are known without a type.
    """

    facts: Mapping[str, Option]
    inputs: Mapping[str, Option] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, repository: Path) -> Specs:
        """Read all argument specs of the repository, and the names in the group_vars beside the playbooks."""
        facts: dict[str, Option] = {}
        inputs: dict[str, Option] = {}
        for path in sorted(repository.glob("roles/*/meta/argument_specs.yml")):
            target = facts if path.parts[-3] == "site_facts" else inputs
            for entry_point in _read_yaml(path)["argument_specs"].values():
                for name, option in (entry_point.get("options") or {}).items():
                    target.setdefault(name, option)
        names: set[str] = set()
        for path in sorted(repository.glob("ansible/group_vars/**/*.yml")):
            names.update(_read_yaml(path) or {})
        return cls(facts, inputs, frozenset(names))

    @functools.cached_property
    def options(self) -> Mapping[str, Option]:
        """Every variable that has a type. A site fact wins over a role input of the same name."""
        return {**self.inputs, **self.facts}

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """Every name that an inventory may use."""
        return self.names | self.options.keys()


# --- Variables, one at a time ---------------------------------------------------------------------


def nearest(name: str, names: Iterable[str], cutoff: float = 0.75) -> str:
    """The name that `name` was probably meant to be, or nothing."""
    return _nearest(name, frozenset(names), cutoff)


# The same few names come back for every host of a site.
@functools.cache
def _nearest(name: str, names: frozenset[str], cutoff: float) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=cutoff)), "")


def has_type(value: object, kind: str) -> bool:
    """Whether a value is of a type of an argument spec, unconverted: a quoted number is text."""
    if isinstance(value, bool):
        return kind in ("bool", "raw")
    return {
        "str": isinstance(value, str),
        "path": isinstance(value, str),
        "int": isinstance(value, int),
        "float": isinstance(value, int | float),
        "bool": False,
        "list": isinstance(value, list),
        "dict": isinstance(value, dict),
        "raw": True,
    }[kind]


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number, which true and false are not."""
    return has_type(value, "int")


def check_value(path: str, value: Any, option: Option) -> Iterator[Violation]:
    """Hold one value against its option of an argument spec, with all that is inside it."""
    kind = option.get("type", "str")
    shown = "(secret)" if option.get("no_log") else value
    if not has_type(value, kind):
        no_value = ", or remove the line" if value is None and not option.get("required") else ""
        yield Violation(path, shown, WHAT_TO_WRITE[kind] + no_value)
    elif option.get("choices") and value not in option["choices"]:
        yield Violation(path, shown, "write one of: " + ", ".join(map(str, option["choices"])))
    elif isinstance(value, list):
        item_option = {**option, "type": option.get("elements", "raw")}
        for index, item in enumerate(value):
            yield from check_value(f"{path}[{item_label(item, index)}]", item, item_option)
    elif isinstance(value, dict) and option.get("options"):
        yield from check_keys(path, value, option["options"])


def item_label(item: object, index: int) -> str:
    """How a message calls an item of a list: by its name where it has one, else by its place."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name else str(index)


def check_keys(path: str, value: Mapping[str, Any], options: Mapping[str, Option]) -> Iterator[Violation]:
    """Hold the keys of a dictionary against the options that it may and must have."""
    strangers = [key for key in value if key not in options]
    meant = {key: nearest(key, options.keys() - value.keys()) for key in strangers}
    for key, right in meant.items():
        cure = (
            f"there is no such key; write {right}"
            if right
            else f"there is no such key; there are: {', '.join(options)}"
        )
        yield Violation(f"{path}.{key}", value[key], cure)
    for key, option in options.items():
        if key in value:
            yield from check_value(f"{path}.{key}", value[key], option)
        elif option.get("required") and key not in meant.values():
            yield Violation(f"{path}.{key}", NOT_SET, f"set it: {first_sentence(option)}")


def first_sentence(option: Option) -> str:
    """The first sentence of an option's description, for messages."""
    description = option.get("description", "")
    text = " ".join(description) if isinstance(description, list) else str(description)
    return re.split(r"(?<=[a-z)])\.(?:\s|$)", text.strip(), maxsplit=1)[0]


# --- What is known of the site --------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One entry of notebook_classes, of which any part can be missing or wrong."""

    label: str
    values: Mapping[str, Any]

    def number(self, key: str) -> int | None:
        """A number above zero. Bad ones are reported by rule_argument_specs and rule_class_numbers."""
        value = self.values.get(key)
        return value if is_int(value) and value > 0 else None

    def text(self, key: str) -> str:
        """A text, empty where it is missing."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def path(self, key: str) -> str:
        """What a message calls a value of this class."""
        return f"notebook_classes[{self.label}].{key}"

    @property
    def reserved(self) -> bool:
        """Whether the class has slots of its own on its hosts, instead of a share of a partitionable one."""
        return self.values.get("slots_per_host") is not None


@dataclass(frozen=True)
class Capacity:
    """Cores or memory of one host.

    `detected` is what the host has, `wanted` what the site lets its notebook startd offer instead. `key` is
    what a class takes of it, `fact` the variable with which a site sets it.
    """

    detected: int | None
    wanted: int | None
    key: str
    fact: str
    unit: str

    @property
    def offered(self) -> int | None:
        """What the notebook startd offers, None where it is not known."""
        return self.detected if self.wanted is None else self.wanted


@dataclass(frozen=True)
class Site:
    """The variables of all hosts (plain values, only what matters here), the groups, the hosts in play."""

    variables: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Sequence[str]]
    in_play: frozenset[str]
    specs: Specs

    def value(self, name: str, host: str = "") -> Any:
        """A variable of one host, or of the first host that has it. None where it is not set."""
        for variables in [self.variables[host]] if host else self.variables.values():
            if variables.get(name) is not None:
                return variables[name]
        return None

    def hosts(self, group: str) -> Sequence[str]:
        """The hosts of a group, none where there is no such group."""
        return self.groups.get(group, ())

    @functools.cached_property
    def classes(self) -> Sequence[Row]:
        """The notebook classes that are at least dictionaries."""
        rows = self.value("notebook_classes")
        rows = rows if isinstance(rows, list) else []
        return [Row(item_label(row, index), row) for index, row in enumerate(rows) if isinstance(row, dict)]

    @functools.cached_property
    def run_groups(self) -> Sequence[str]:
        """The groups that a class may run on: those of which every host gets a notebook startd."""
        able = {host for group in NOTEBOOK_GROUPS for host in self.hosts(group)}
        return sorted(
            name
            for name, hosts in self.groups.items()
            if hosts and able.issuperset(hosts) and name not in ALL_HOSTS_GROUPS
        )

    @functools.cached_property
    def notebook_hosts(self) -> frozenset[str]:
        """The hosts that run notebooks."""
        groups = {row.text("run_on") for row in self.classes} & set(self.run_groups)
        return frozenset(host for group in groups for host in self.hosts(group))

    def classes_of(self, host: str) -> Sequence[Row]:
        """The classes that a host runs."""
        return [row for row in self.classes if host in self.hosts(row.text("run_on"))]

    def facts(self, host: str) -> Mapping[str, Any]:
        """What was gathered from a host in this run, nothing for a host that is not in play."""
        facts = self.variables[host].get("ansible_facts")
        return facts if host in self.in_play and isinstance(facts, dict) else {}

    def capacities(self, host: str) -> tuple[Capacity, Capacity]:
        """Cores and memory of a host."""
        facts = self.facts(host)

        def capacity(detected: Any, override: str, key: str, unit: str) -> Capacity:
            wanted = self.value(override, host)
            return Capacity(
                detected if is_int(detected) else None,
                wanted if is_int(wanted) and wanted > 0 else None,
                key,
                override,
                unit,
            )

        return (
            capacity(facts.get("processor_vcpus"), "notebook_host_cores", "cores", "cores"),
            capacity(facts.get("memtotal_mb"), "notebook_host_memory_mb", "slot_memory_mb", "MB"),
        )


# --- Rules ----------------------------------------------------------------------------------------


def rule_known_names(site: Site) -> Iterator[Violation]:
    """A variable that nobody reads is a misspelt one."""
    for host, variables in site.variables.items():
        for name in variables:
            if name in site.specs.known or name in (LOOKUP_RESULT, "ansible_facts"):
                continue
            right = nearest(name, site.specs.known)
            cure = (
                f"there is no such variable; write {right}"
                if right
                else "there is no such variable; remove it"
            )
            value = "(hidden)" if SECRET_NAME.search(name) else variables[name]
            yield Violation(name, value, f"{cure} (docs/variables.md lists all)", host)


def rule_argument_specs(site: Site) -> Iterator[Violation]:
    """Every variable has the type that its argument spec says, and every required site fact is there."""
    for host, variables in site.variables.items():
        for name, option in site.specs.options.items():
            if name in variables:
                yield from (replace(bad, host=host) for bad in check_value(name, variables[name], option))
            elif option.get("required") and name in site.specs.facts:
                yield Violation(name, NOT_SET, f"set it: {first_sentence(option)}", host)


def rule_same_everywhere(site: Site) -> Iterator[Violation]:
    """A site fact is one fact: hosts that disagree on it would not work together."""
    for name in sorted(site.specs.facts.keys() - PER_HOST_FACTS):
        first: tuple[str, Any] | None = None
        for host, variables in site.variables.items():
            value = variables.get(name)
            if value is None:
                continue
            first = first or (host, value)
            if value != first[1]:
                other = Violation(name, first[1], "").shown_value
                cure = f"it is {other} on {first[0]}; set it once, in group_vars/all"
                yield Violation(name, value, cure, host)


def rule_groups(site: Site) -> Iterator[Violation]:
    """There is one hub and one notebook manager."""
    for group in ("hub", "notebook_manager"):
        hosts = site.hosts(group)
        if len(hosts) != 1:
            yield Violation(
                f"group {group}", ", ".join(hosts) or "no host", "put exactly one host into this group"
            )


def rule_batch_pool(site: Site) -> Iterator[Violation]:
    """Notebooks either know a whole batch pool or none, and its workers are big enough for what they run."""
    facts = ("notebook_batch_collector", "notebook_batch_schedd")
    given = [name for name in facts if site.value(name)]
    if len(given) == 1:
        absent = next(name for name in facts if name not in given)
        yield Violation(absent, NOT_SET, f"write it beside {given[0]}, or leave out both")
    made = [name for name in ("batch_manager", "batch_schedd") if site.hosts(name)]
    if len(made) == 1:
        absent = "batch_schedd" if made == ["batch_manager"] else "batch_manager"
        yield Violation(f"group {absent}", "no host", f"put a host into it, or none into {made[0]}")
    worker = site.value("notebook_batch_worker")
    for key, least in WORKER_LEAST.items() if isinstance(worker, dict) else ():
        value = worker.get(key)
        if is_int(value) and value < least:
            yield Violation(f"notebook_batch_worker.{key}", value, f"write {least} or more")


def rule_class_names(site: Site) -> Iterator[Violation]:
    """Class names are unique and fit into slots, job ads and addresses."""
    if site.value("notebook_classes") == []:
        yield Violation("notebook_classes", [], "write at least one class")
    names = [row.text("name") for row in site.classes]
    for name in sorted({name for name in names if name}):
        if names.count(name) > 1:
            cure = f"{names.count(name)} classes have this name; give each class a name of its own"
            yield Violation("notebook_classes[].name", name, cure)
        if not CLASS_NAME.fullmatch(name):
            cure = "write a lower-case letter, then lower-case letters, digits, - or _, at most 32 in all"
            yield Violation("notebook_classes[].name", name, cure)


def rule_one_default(site: Site) -> Iterator[Violation]:
    """Exactly one class is what a user gets who chooses nothing."""
    chosen = [row.label for row in site.classes if row.values.get("default") is True]
    if site.classes and len(chosen) != 1:
        cure = "write 'default: true' in exactly one class"
        yield Violation("notebook_classes[].default", "true in " + (", ".join(chosen) or "no class"), cure)


def rule_class_numbers(site: Site) -> Iterator[Violation]:
    """Numbers of a class are above zero, and its limit is not below what its slot reserves."""
    for row in site.classes:
        for key in CLASS_NUMBERS:
            value = row.values.get(key)
            if is_int(value) and value <= 0:
                cure = "write a number above 0"
                if key == "slots_per_host":
                    cure += ", or leave it out for a share of the host's partitionable slot"
                yield Violation(row.path(key), value, cure)
        limit, reserved = row.number("memory_limit_mb"), row.number("slot_memory_mb")
        if limit and reserved and limit < reserved:
            cure = f"write at least slot_memory_mb, which is {reserved}, or make slot_memory_mb smaller"
            yield Violation(row.path("memory_limit_mb"), limit, cure)


def rule_run_on(site: Site) -> Iterator[Violation]:
    """A class runs on a group that has hosts."""
    for row in site.classes:
        group = row.text("run_on")
        if group and group not in site.run_groups:
            what = "there is no such group"
            if group in site.groups:
                what = "this group has no hosts"
            if site.hosts(group):
                what = f"hosts of this group are in neither of {' and '.join(NOTEBOOK_GROUPS)}"
            known = ", ".join(site.run_groups) or "there is none"
            cure = f"{what}; write one of the groups with notebook hosts: {known}"
            yield Violation(row.path("run_on"), group, cure)


def rule_numbers(site: Site) -> Iterator[Violation]:
    """Numbers outside of classes are not below zero, and above it where zero means nothing."""
    for host, variables in site.variables.items():
        for name, option in site.specs.options.items():
            value = variables.get(name)
            if option.get("type") == "int" and is_int(value):
                if name.endswith("_port") and not 1 <= value <= 65535:
                    yield Violation(name, value, "write a port between 1 and 65535", host)
                elif name in POSITIVE_FACTS and value <= 0:
                    yield Violation(name, value, "write a number above 0", host)
                elif value < 0:
                    yield Violation(name, value, "write a number that is not below 0", host)


def rule_names_of_hosts(site: Site) -> Iterator[Violation]:
    """The hub's name and the domain are names, not addresses of web pages."""
    for name, example in (("notebook_hub_name", "notebooks.example.org"), ("notebook_domain", "example.org")):
        value = site.value(name)
        if isinstance(value, str) and not HOST_NAME.fullmatch(value):
            yield Violation(name, value, f"write a bare name such as {example}, without scheme, port or path")


def rule_port_range(site: Site) -> Iterator[Violation]:
    """The ports of notebooks are free ones, and enough."""
    given = site.value("notebook_port_range")
    given = given if isinstance(given, dict) else {}
    first, last = given.get("first"), given.get("last")
    if not is_int(first) or not is_int(last):
        return
    shown = f"{first}-{last}"
    if first < 1024 or last > 65535:
        yield Violation("notebook_port_range", shown, "use ports between 1024 and 65535, such as 40000-40999")
    elif first >= last:
        yield Violation("notebook_port_range", shown, "write a 'last' that is above 'first'")
    elif first <= HTCONDOR_PORT <= last:
        yield Violation(
            "notebook_port_range", shown, f"leave out {HTCONDOR_PORT}, which is HTCondor's own port"
        )
    else:
        for host in sorted(site.notebook_hosts):
            slots = slots_on(site, host)
            if last - first + 1 < slots:
                cure = (
                    f"a host has up to {slots} notebooks at a time; write 'last: {first + slots - 1}' or more"
                )
                yield Violation("notebook_port_range", f"{shown} ({last - first + 1} ports)", cure, host)


def slots_on(site: Site, host: str) -> int:
    """How many notebooks can run on a host at the same time, as far as it is known."""
    rows = site.classes_of(host)
    most = 0
    for row in (row for row in rows if not row.reserved):
        fits = [
            capacity.offered // need
            for capacity in site.capacities(host)
            if capacity.offered is not None and (need := row.number(capacity.key))
        ]
        most = max(most, min(fits, default=0))
    return most + sum(row.number("slots_per_host") or 0 for row in rows)


def rule_capacity(site: Site) -> Iterator[Violation]:
    """The slots of a host fit the host, unless the site wants more than that."""
    for host in sorted(site.notebook_hosts & site.in_play):
        oversubscribe = site.value("notebook_oversubscribe", host) is True
        for capacity in site.capacities(host):
            if (
                capacity.detected
                and capacity.wanted
                and capacity.wanted > capacity.detected
                and not oversubscribe
            ):
                cure = (
                    f"the host has {capacity.detected} {capacity.unit}; write that at most, or set "
                    "notebook_oversubscribe: true"
                )
                yield Violation(capacity.fact, capacity.wanted, cure, host)
            if capacity.offered is not None:
                yield from check_slots(site.classes_of(host), host, capacity, capacity.offered, oversubscribe)


def check_slots(
    rows: Sequence[Row], host: str, capacity: Capacity, offered: int, oversubscribe: bool
) -> Iterator[Violation]:
    """The reserved slots of a host fit what it offers, and every class that shares the rest fits the rest."""
    sizes = [(row.label, row.number("slots_per_host"), row.number(capacity.key)) for row in rows]
    slots = [(label, count, size) for label, count, size in sizes if count and size]
    reserved = sum(count * size for _, count, size in slots)
    # The startd offers what the site wrote down, to the letter; only what it detects may be stretched.
    if reserved > offered and not (oversubscribe and capacity.wanted is None):
        names = ", ".join(label for label, _, _ in slots)
        terms = " + ".join(f"{count} × {size}" for _, count, size in slots)
        cure = f"the host offers {offered} {capacity.unit}; write fewer or smaller slots, or "
        cure += (
            f"raise {capacity.fact}"
            if capacity.wanted
            else "set notebook_oversubscribe: true to let them share"
        )
        yield Violation(
            f"notebook_classes[{names}].slots_per_host", f"{terms} = {reserved} {capacity.unit}", cure, host
        )
    left = max(offered - reserved, 0)
    for row in rows:
        need = row.number(capacity.key)
        if need and not row.reserved and need > left:
            cure = (
                f"the host has {left} {capacity.unit} left for this class, which would never start there; "
                f"write at most that, run it on bigger hosts, or set {capacity.fact} and "
                "notebook_oversubscribe: true"
            )
            yield Violation(row.path(capacity.key), need, cure, host)


def rule_hub_name_resolves(site: Site) -> Iterator[Violation]:
    """Whoever has to reach the hub by its name can look the name up."""
    for host in sorted((site.notebook_hosts | set(site.hosts("hub"))) & site.in_play):
        result = site.variables[host].get(LOOKUP_RESULT)
        if (
            isinstance(result, dict)
            and isinstance(site.value("notebook_hub_name"), str)
            and result.get("rc") == 2
        ):
            cure = "this name does not resolve; correct it, or add it to the DNS or /etc/hosts of these hosts"
            yield Violation("notebook_hub_name", site.value("notebook_hub_name"), cure, host)


def rule_operating_system(site: Site) -> Iterator[Violation]:
    """Hosts run what the roles were written for."""
    for host in sorted(site.in_play & site.variables.keys()):
        facts = site.facts(host)
        if not facts.get("distribution") or site.value("notebook_allow_untested_os", host) is True:
            continue
        name, release = str(facts["distribution"]), str(facts.get("distribution_version", ""))
        major = str(facts.get("distribution_major_version", ""))
        fine = {major, release} & SUPPORTED_RELEASES.get(name, set())
        if not fine and not (facts.get("os_family") == "RedHat" and major == "9"):
            cure = f"use {SUPPORTED_TEXT}, or set notebook_allow_untested_os: true to try"
            yield Violation("operating system", f"{name} {release}", cure, host)


def rule_login(site: Site) -> Iterator[Violation]:
    """Somebody may log in."""
    values = [site.value(f"jupyterhub_{name}") for name in ("allow_all", "allowed_users", "allowed_groups")]
    if not any(values):
        cure = (
            "nobody could log in: write true, or fill jupyterhub_allowed_groups or jupyterhub_allowed_users"
        )
        yield Violation("jupyterhub_allow_all", False if values[0] is False else NOT_SET, cure)


# --- Certificate ----------------------------------------------------------------------------------


def pem_file(site: Site, name: str) -> tuple[bytes | None, Iterable[Violation]]:
    """The content of a file on the machine that runs Ansible, or why there is none."""
    value = site.value(name)
    if not isinstance(value, str):
        return None, []
    path = Path(value).expanduser()
    if not path.is_absolute():
        return None, [
            Violation(name, value, f'write the whole path, such as "{{{{ inventory_dir }}}}/{value}"')
        ]
    try:
        return path.read_bytes(), []
    except FileNotFoundError:
        cure = (
            "there is no such file on the machine that runs the deployment; put it there or correct the path"
        )
    except OSError as error:
        cure = f"this file cannot be read here ({error.strerror}); correct the path or the file's rights"
    return None, [Violation(name, value, cure)]


def rule_certificate(site: Site) -> Iterator[Violation]:
    """Certificate, key and CA are files that can be read, belong together and are made for the hub's name."""
    certificate_name, key_name, ca_name = (
        f"hub_proxy_{part}" for part in ("certificate_file", "certificate_key_file", "ca_file")
    )
    for name in (certificate_name, key_name):
        if site.value(name) is None:
            yield Violation(
                name, NOT_SET, "set it to the path of a PEM file on the machine that runs the deployment"
            )
    (certificate_pem, bad_certificate), (key_pem, bad_key), (ca_pem, bad_ca) = (
        pem_file(site, name) for name in (certificate_name, key_name, ca_name)
    )
    yield from (*bad_certificate, *bad_key, *bad_ca)
    certificate = None
    for name, pem in ((certificate_name, certificate_pem), (ca_name, ca_pem)):
        if pem is None:
            continue
        try:
            found = x509.load_pem_x509_certificates(pem)[0]
        except ValueError:
            yield Violation(
                name, site.value(name), "this file holds no certificate; write the path of one in PEM format"
            )
            continue
        certificate = found if name == certificate_name else certificate
        if found.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
            cure = f"this certificate ended on {found.not_valid_after_utc:%Y-%m-%d}; get a new one"
            yield Violation(name, site.value(name), cure)
    if certificate is not None:
        hub = site.value("notebook_hub_name")
        names = certificate_names(certificate)
        if isinstance(hub, str) and not any(covers(name, hub) for name in names):
            cure = f"this certificate is for {', '.join(names) or 'no name'}; get one for {hub}"
            yield Violation(certificate_name, site.value(certificate_name), cure)
    yield from check_key(key_name, str(site.value(key_name)), key_pem, certificate)


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.DNSName)


def covers(pattern: str, name: str) -> bool:
    """Whether a name of a certificate, perhaps with a wildcard as its first label, stands for a host name."""
    pattern, name = pattern.lower(), name.lower()
    return pattern == name or (pattern.startswith("*.") and pattern[1:] == name[name.find(".") :])


def check_key(
    name: str, path: str, pem: bytes | None, certificate: x509.Certificate | None
) -> Iterator[Violation]:
    """A key needs no passphrase and belongs to the certificate. One in a vault is not looked at."""
    if pem is None or pem.startswith(b"$ANSIBLE_VAULT;"):
        return
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        yield Violation(
            name,
            path,
            "this key has a passphrase; write the path of one without, or use ansible-vault instead",
        )
    except ValueError:
        yield Violation(name, path, "this file holds no private key; write the path of one in PEM format")
    else:
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if certificate and key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(
            *form
        ):
            yield Violation(
                name,
                path,
                "this key does not belong to hub_proxy_certificate_file; write the path of the one that does",
            )


RULES = (
    rule_known_names,
    rule_argument_specs,
    rule_same_everywhere,
    rule_groups,
    rule_batch_pool,
    rule_class_names,
    rule_one_default,
    rule_class_numbers,
    rule_run_on,
    rule_numbers,
    rule_names_of_hosts,
    rule_port_range,
    rule_capacity,
    rule_hub_name_resolves,
    rule_operating_system,
    rule_login,
    rule_certificate,
)


# --- Ansible's side -------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as Python's own types, with all templates in it rendered."""
    if isinstance(value, Undefined):
        # Ansible hands a failed template over as a value; using it in any way raises what went wrong.
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def is_ours(name: str, specs: Specs) -> bool:
    """Whether a variable has a type, is needed by a rule, or looks as if it should be known."""
    if name in specs.options or name in (LOOKUP_RESULT, "ansible_facts"):
        return True
    if name in specs.names or name.startswith("ansible_"):
        return False
    # A wrong beginning is only taken for a mistake where the rest is as good as right.
    return name.startswith(PREFIXES) or bool(nearest(name, specs.known, cutoff=0.9))


def read_site(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    in_play: Iterable[str],
    specs: Specs,
) -> tuple[Site, list[Violation]]:
    """Collect what the rules look at. A variable whose template fails is a violation, and left out."""
    variables: dict[str, dict[str, Any]] = {}
    broken: list[Violation] = []
    for host in groups.get("all", []):
        variables[host] = {}
        for name in hostvars[host]:
            if not is_ours(name, specs):
                continue
            try:
                variables[host][name] = plain(hostvars[host][name])
            except (AnsibleError, TemplateError) as error:
                if name in specs.known:
                    broken.append(Violation(name, BROKEN, f"correct it: {error}", host))
                else:
                    variables[host][name] = BROKEN
    return Site(variables, groups, frozenset(in_play), specs), broken


def violations(site: Site) -> list[Violation]:
    """Everything that is wrong with a site."""
    return [violation for rule in RULES for violation in rule(site)]


def report(found: Sequence[Violation]) -> str:
    """One text with a line for each violation. What is wrong in the same way on many hosts is one line."""
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for bad in found:
        where = hosts.setdefault((bad.variable, bad.shown_value, bad.cure), [])
        if bad.host and bad.host not in where:
            where.append(bad.host)
    if not hosts:
        return ""
    lines = []
    for (variable, value, cure), where in hosts.items():
        more = f" and {len(where) - 3} more" if len(where) > 3 else ""
        lines.append(f"{variable} — {value} — {cure}" + (f" [{', '.join(where[:3])}{more}]" if where else ""))
    head = "Nothing was changed. One thing in the inventory has to be corrected first:"
    if len(lines) > 1:
        head = f"Nothing was changed. {len(lines)} things in the inventory have to be corrected first:"
    return "\n".join([head, *lines])


def site_report(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    in_play: Iterable[str],
    repository: str = str(REPOSITORY),
) -> str:
    """What is wrong with the inventory and its hosts, or an empty text."""
    site, broken = read_site(hostvars, groups, in_play, Specs.read(Path(repository)))
    unreadable = {bad.variable for bad in broken}
    # What could not be read is reported once, and not again as missing.
    rest = [bad for bad in violations(site) if not (bad.variable in unreadable and bad.value is NOT_SET)]
    return report([*broken, *rest])


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"site_report": site_report}
