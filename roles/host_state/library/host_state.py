#!/usr/bin/python
"""The host's side of host_state: what is there already, and files written where they differ, in one call."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_state
short_description: Packages, files and services of a host in one call
description:
  - Does for a list of files what M(ansible.builtin.template), M(ansible.builtin.copy) and M(ansible.builtin.file) do
    one at a time, and sees whether packages are installed and services run. Every call costs the host a fifth of a
    second and the control node a process, so a role that asks once instead of ten times is done in a fraction of the
    time where nothing has to be changed.
  - A package that is missing and a service that does not run are handed to M(ansible.builtin.package) and
    M(ansible.builtin.systemd_service).
  - Either all of the files and links are written or none, so that there is no change of which a handler hears nothing.
    A file that its O(files[].validate) refuses leaves the others as they were. Folders are made before.
options:
  packages:
    description: Packages that have to be installed. Files and services are looked at afterwards.
    type: list
    elements: str
    default: []
  files:
    description: Folders, files and links, in the order in which they are made.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is on the host.
        type: path
        required: true
      template:
        description: Template of the role that gives the content.
        type: str
      source:
        description: File of the role or of the control node that gives the content.
        type: str
      content:
        description: The content itself.
        type: str
      encoded:
        description: The content itself in base64, for what is no text or comes from M(ansible.builtin.slurp).
        type: str
      link:
        description: Where a link at O(files[].path) leads to. Without one of these five it is a folder.
        type: str
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description: Rights, as a string of octal digits. Needed for all but links.
        type: str
      validate:
        description:
          - Command that has to accept a new content, with C(%s) for the file that holds it.
          - It sees the other files of the call as they were before.
        type: str
      secret:
        description: Show no difference.
        type: bool
        default: false
  services:
    description: Units that have to run now and after a boot.
    type: list
    elements: str
    default: []
  look_for:
    description: Paths of which RV(found) says whether they were there before anything was changed.
    type: list
    elements: path
    default: []
"""

RETURN = """
written:
  description: Paths of what was made or changed, or would be.
  type: list
  returned: always
found:
  description: Those of O(look_for) that were there before.
  type: list
  returned: always
"""

ARGUMENTS = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "encoded": {"type": "str"},
            "link": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str"},
            "validate": {"type": "str"},
            "secret": {"type": "bool", "default": False},
        },
    },
    "services": {"type": "list", "elements": "str", "default": []},
    "look_for": {"type": "list", "elements": "path", "default": []},
}

RUNS = {"active", "activating"}
STARTS_AT_BOOT = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated"}
# More than this is not worth reading as a difference.
LONGEST_DIFFERENCE = 100000


class Refused(Exception):
    """What was asked for can't be done; the text is for the admin."""


def missing_packages(module: AnsibleModule, names: list[str]) -> list[str]:
    """Those that are not installed; all of them where neither dpkg nor rpm is there to ask."""
    if not names:
        return []
    if shutil.which("dpkg-query"):
        query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
        _, output, _ = module.run_command(query)
        installed = {line.split()[0] for line in output.splitlines() if line.endswith(" installed")}
    elif shutil.which("rpm"):
        _, output, _ = module.run_command(["rpm", "--query", "--queryformat", "%{NAME}\n", *names])
        installed = set(output.splitlines())
    else:
        installed = set()
    return [name for name in names if name not in installed]


def services_to_mend(module: AnsibleModule, names: list[str]) -> list[dict[str, Any]]:
    """Those that do not run, do not start at boot, or of which systemd has not read the newest unit."""
    mend: list[dict[str, Any]] = []
    for name in names:
        properties = "ActiveState,UnitFileState,NeedDaemonReload,LoadState"
        _, output, _ = module.run_command(["systemctl", "show", "--property", properties, "--", name])
        state = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        fine = state.get("ActiveState") in RUNS and state.get("UnitFileState") in STARTS_AT_BOOT
        stale = state.get("NeedDaemonReload") == "yes"
        if not fine or stale:
            known = state.get("LoadState") not in (None, "not-found")
            mend.append({"name": name, "known": known, "fine": fine})
    return mend


def shown(content: bytes) -> str:
    """A content as a difference shows it."""
    if len(content) > LONGEST_DIFFERENCE or b"\0" in content:
        return f"({len(content)} bytes that are not shown)\n"
    return content.decode("utf-8", "replace")


class Entry:
    """One folder, file or link."""

    def __init__(self, module: AnsibleModule, wanted: dict[str, Any]) -> None:
        self.module = module
        self.path = Path(wanted["path"])
        self.link: str | None = wanted["link"]
        self.content = None if wanted["encoded"] is None else base64.b64decode(wanted["encoded"])
        self.validate: str | None = wanted["validate"]
        self.secret: bool = wanted["secret"]
        if self.link is None and wanted["mode"] is None:
            raise Refused(f"{self.path}: mode is missing")
        self.rights = {key: wanted[key] for key in ("owner", "group", "mode")}
        self.draft: Path | None = None
        self.changed = False
        self.diff: dict[str, Any] = {}

    def prepare(self) -> None:
        """See what differs. A new content is written beside the file, with its rights, and validated."""
        there = os.path.lexists(self.path)
        if self.link is not None:
            self.look_at_link(self.link, there)
        elif self.content is None:
            self.look_at_folder(there)
        else:
            self.look_at_file(self.content, there)

    def look_at_link(self, link: str, there: bool) -> None:
        """Whether the link leads where it should."""
        if there and not self.path.is_symlink():
            raise Refused(f"{self.path} is in the way of a link to {link}")
        before = os.fspath(self.path.readlink()) if there else ""
        self.changed = before != link
        self.diff = {"before": f"{before}\n" if before else "", "after": f"{link}\n"}

    def look_at_folder(self, there: bool) -> None:
        """Whether there is a folder."""
        if there and not self.path.is_dir():
            raise Refused(f"{self.path} is in the way of a folder")
        if there:
            self.compare_rights()
            return
        self.changed = True
        self.diff = {"before": {"state": "absent"}, "after": {"state": "directory"}}
        # Not put off like files are: those that come next are drafted inside. Those above it get the same rights.
        if not self.module.check_mode:
            missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                self.set_rights(folder, folder)

    def look_at_file(self, content: bytes, there: bool) -> None:
        """Whether the file has the content, and drafts it where it has not."""
        if there and self.path.is_dir():
            raise Refused(f"{self.path} is a folder and should be a file")
        before = self.path.read_bytes() if there and not self.path.is_symlink() else None
        if before == content:
            self.compare_rights()
            return
        self.changed = True
        self.diff = {"before": shown(before or b"")}
        if not self.module.check_mode:
            self.write_draft(content)

    def write_draft(self, content: bytes) -> None:
        """Write the content beside the file, give it its rights, and have it accepted by the program that reads it."""
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except FileNotFoundError:
            raise Refused(f"{self.path.parent}, the folder of {self.path.name}, is missing") from None
        self.draft = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        self.set_rights(self.draft, self.path)
        if self.validate:
            code, output, errors = self.module.run_command(self.validate % self.draft)
            if code != 0:
                raise Refused(f"{self.path} would not be valid: {(errors or output).strip()}")

    def compare_rights(self) -> None:
        """Correct owner, group and mode of what has the right content; a preview only looks."""
        difference: dict[str, Any] = {}
        arguments = self.arguments(self.path)
        if self.module.set_fs_attributes_if_different(arguments, False, difference):
            self.changed = True
            self.diff = {key: difference.get(key, {}) for key in ("before", "after")}

    def set_rights(self, path: Path, final: Path) -> None:
        """Give owner, group and mode to what is new. What SELinux calls it follows from its final name."""
        arguments = {**self.arguments(final), "path": os.fspath(path)}
        self.module.set_fs_attributes_if_different(arguments, False)

    def arguments(self, path: Path) -> dict[str, Any]:
        """The rights as Ansible's own functions take them."""
        arguments: dict[str, Any] = self.module.load_file_common_arguments(
            {**self.rights, "path": os.fspath(path), "follow": False}
        )
        return arguments

    def put_in_place(self) -> None:
        """Make the draft the file, or the link lead to its new end, in one step."""
        if self.link is not None and self.changed:
            self.draft = self.path.with_name(f".{self.path.name}.new")
            self.draft.unlink(missing_ok=True)
            self.draft.symlink_to(self.link)
        if self.draft:
            self.draft.replace(self.path)
            self.draft = None

    def discard(self) -> None:
        """Leave no draft behind."""
        if self.draft:
            self.draft.unlink(missing_ok=True)


def bring_files(module: AnsibleModule) -> tuple[list[str], list[dict[str, Any]]]:
    """Write what differs; returns the paths and, without that of secrets, the differences."""
    entries: list[Entry] = []
    try:
        for wanted in module.params["files"]:
            entries.append(Entry(module, wanted))
            entries[-1].prepare()
        if not module.check_mode:
            for entry in entries:
                entry.put_in_place()
    finally:
        for entry in entries:
            entry.discard()
    changed = [entry for entry in entries if entry.changed]
    return (
        [os.fspath(entry.path) for entry in changed],
        [{"path": os.fspath(entry.path), **({} if entry.secret else entry.diff)} for entry in changed],
    )


def state_of_host(module: AnsibleModule) -> dict[str, Any]:
    """Bring the files to what the parameters say, and tell what packages and services need."""
    found = [path for path in module.params["look_for"] if os.path.lexists(path)]
    result: dict[str, Any] = {"changed": False, "written": [], "found": found, "differences": []}
    result["missing"] = missing_packages(module, module.params["packages"])
    # Owners and folders of the files may come with a package, so that it has to be there first.
    if not result["missing"] or module.check_mode:
        result["written"], result["differences"] = bring_files(module)
        result["mend"] = services_to_mend(module, module.params["services"])
        result["changed"] = bool(result["written"])
    return result


def main() -> None:
    """Entry point of the module."""
    # Without no_log the contents, and with them secrets, would be written to the host's journal.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, no_log=True)
    asked = {
        "packages": module.params["packages"],
        "files": [wanted["path"] for wanted in module.params["files"]],
        "services": module.params["services"],
        "look_for": module.params["look_for"],
    }
    try:
        result = state_of_host(module)
    except Refused as problem:
        module.fail_json(msg=str(problem), invocation={"module_args": asked})
    else:
        module.exit_json(invocation={"module_args": asked}, **result)


if __name__ == "__main__":
    main()
