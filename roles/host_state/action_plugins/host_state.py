"""The control node's side of host_state: renders what a host gets, and mends what it lacks with Ansible's modules."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

CONTENTS = ("template", "source", "content", "encoded", "link")
KEYS = {"path", "owner", "group", "mode", "validate", "secret", *CONTENTS}


class ActionModule(ActionBase):
    """See the DOCUMENTATION of the module."""

    _supports_check_mode = True
    _requires_connection = True
    _VALID_ARGS = frozenset({"packages", "files", "services", "look_for"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call where the host is as it should be; further ones where packages or services are not."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        contents: dict[str, bytes] = {}
        arguments["files"] = [
            self.for_host(entry, contents, task_vars) for entry in arguments.get("files") or []
        ]
        return self.bring(arguments, contents, task_vars)

    def for_host(
        self, entry: dict[str, Any], contents: dict[str, bytes], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """One of the files as the module takes it: whatever gives its content, encoded."""
        strangers = entry.keys() - KEYS
        kinds = [kind for kind in CONTENTS if entry.get(kind) is not None]
        if strangers or len(kinds) > 1:
            wrong = ", ".join(sorted(strangers)) or " and ".join(kinds)
            raise AnsibleActionFail(f"host_state: {entry.get('path')}: not possible: {wrong}")
        given = {key: value for key, value in entry.items() if key not in CONTENTS}
        if "link" in kinds:
            return {**given, "link": entry["link"]}
        if not kinds:
            return given
        content = self.content_of(kinds[0], entry[kinds[0]], task_vars)
        contents[entry["path"]] = content
        return {**given, "encoded": base64.b64encode(content).decode()}

    def content_of(self, kind: str, value: str, task_vars: dict[str, Any]) -> bytes:
        """The content that a file of the host shall have."""
        if kind == "encoded":
            return base64.b64decode(value)
        if kind == "source":
            found = self._find_needle("files", value)
            # A file of the control node may be in a vault.
            return Path(self._loader.get_real_file(found)).read_bytes()
        if kind == "template":
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            value = lookup.run([value], variables=task_vars)[0]
        return str(value).encode()

    def bring(
        self, arguments: dict[str, Any], contents: dict[str, bytes], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Ask the host, and mend what it lacks in the order in which one needs the other."""
        result: dict[str, Any] = self._execute_module(
            "host_state", module_args=arguments, task_vars=task_vars
        )
        changed = False
        if result.get("missing") and not result.get("failed"):
            installed = self.install(result["missing"], task_vars)
            changed = bool(installed.get("changed"))
            if installed.get("failed"):
                return installed
            if not self._task.check_mode:
                result = self._execute_module("host_state", module_args=arguments, task_vars=task_vars)
        if result.get("failed"):
            return result
        result["changed"] = bool(result.get("changed")) or changed
        differences = result.pop("differences", [])
        if self._task.diff:
            result["diff"] = [self.difference(one, contents) for one in differences if "before" in one]
        for service in result.pop("mend", []):
            mended = self.mend(service, task_vars)
            if mended.get("failed"):
                return {**mended, "changed": result["changed"]}
            result["changed"] = result["changed"] or bool(mended.get("changed"))
        return result

    def install(self, names: list[str], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Have packages by the distribution's own means."""
        task = self._task.copy()
        task.args = {"name": names, "state": "present"}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.package",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = action.run(task_vars=task_vars)
        return result

    def mend(self, service: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Have a service run, now and after a boot."""
        if self._task.check_mode and not service["known"]:
            # Its unit comes with what a preview does not install or write.
            return {"changed": True}
        wanted = {"name": service["name"], "state": "started", "enabled": True, "daemon_reload": True}
        if self._task.check_mode:
            wanted.pop("daemon_reload")
        result: dict[str, Any] = self._execute_module(
            "ansible.builtin.systemd_service", module_args=wanted, task_vars=task_vars
        )
        return result

    def difference(self, one: dict[str, Any], contents: dict[str, bytes]) -> dict[str, Any]:
        """What a difference was and becomes, as Ansible shows it. The new content is here already."""
        shown = {"before_header": one["path"], "after_header": one["path"], "before": one["before"]}
        after = one.get("after")
        return {
            **shown,
            "after": contents[one["path"]].decode("utf-8", "replace") if after is None else after,
        }
