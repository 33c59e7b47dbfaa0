#!/usr/bin/env python3
"""Write the parts of the docs that the repository already knows: its variables and its notebook classes.

docs/variables.md is written as a whole, from the argument specs of all roles. In every
other Markdown file of docs/ and in README.md, what stands between `<!-- classes: begin -->` and
`<!-- classes: end -->` becomes the table of the mini-pool's notebook classes.

    tools/render_docs.py            write what is out of date
    tools/render_docs.py --check    change nothing; name what is out of date and end with 1
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
CLASSES = "inventories/minipool/group_vars/all"
BEGIN, END = "<!-- classes: begin -->", "<!-- classes: end -->"
BETWEEN = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
# Roles whose inputs come from the playbooks and not from a site are listed last.
FIRST_ROLE = "site_facts"

HEAD = """\
# Variables

Written by `tools/render_docs.py` from the `meta/argument_specs.yml` of the roles; edit those, then run `make docs`.

A site sets variables in its inventory: `inventories/example` has every one that must be set, with a comment. A
deployment checks them all before it changes anything (`ansible/validate.yml`): types, misspelt names, and rules that
look at more than one value.
"""

Option = Mapping[str, Any]


class Loader(yaml.SafeLoader):
    """Reads Ansible's YAML, where a value may carry a tag such as !vault."""


def _untagged(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


Loader.add_multi_constructor("!", _untagged)


def load(path: Path) -> Any:
    """Read a YAML file."""
    return Loader(path.read_text(encoding="utf-8")).get_single_data()


def cell(text: object) -> str:
    """A text that does not break a table: in one line, without a bare bar."""
    lines = text if isinstance(text, list) else [text]
    return " ".join(" ".join(str(line).split()) for line in lines).replace("|", "\\|")


def code(value: object) -> str:
    """A value as code, or nothing for an empty one."""
    return f"`{cell(value)}`" if str(value) else ""


def shown_default(option: Option) -> str:
    """What a variable is when nobody sets it."""
    if option.get("required"):
        return "**must be set**"
    value = option.get("default")
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(value) or "empty"


def shown_type(option: Option) -> str:
    """The type of a variable, with that of its items."""
    kind = str(option.get("type", "str"))
    if option.get("choices"):
        return " or ".join(code(choice) for choice in option["choices"])
    return f"{kind} of {option['elements']}" if option.get("elements") else kind


def rows(options: Mapping[str, Option], prefix: str = "") -> Iterator[str]:
    """The lines of a table of variables, with the keys of a variable below it."""
    for name, option in options.items():
        what = cell(option.get("description", ""))
        yield f"| `{prefix}{name}` | {shown_type(option)} | {shown_default(option)} | {what} |"
        if option.get("options"):
            yield from rows(
                option["options"], f"{prefix}{name}{'[]' if option.get('type') == 'list' else ''}."
            )


def variables_page(repository: Path) -> str:
    """The whole of docs/variables.md."""
    parts = [HEAD, "## Classes of the mini-pool\n", f"{BEGIN}\n{END}\n"]
    specs = sorted(
        repository.glob("roles/*/meta/argument_specs.yml"),
        key=lambda path: (path.parts[-3] != FIRST_ROLE, path),
    )
    for path in specs:
        role = path.parts[-3]
        for entry_point, spec in load(path)["argument_specs"].items():
            options = spec.get("options") or {}
            if not options:
                continue
            title = "Site facts" if role == FIRST_ROLE else f"Role `{role}`"
            title += "" if entry_point == "main" else f", entry point `{entry_point}`"
            summary = cell(spec.get("short_description", "")).rstrip(".")
            head = ["| variable | type | default | what it is |", "| --- | --- | --- | --- |"]
            parts.append("\n".join([f"## {title}\n", f"{summary}.\n", *head, *rows(options)]) + "\n")
    return "\n".join(parts)


def class_table(repository: Path) -> str:
    """The notebook classes of the mini-pool as a table, or a sentence where there are none."""
    classes: list[Mapping[str, Any]] = []
    for path in sorted((repository / CLASSES).glob("*.yml")):
        classes = (load(path) or {}).get("notebook_classes", classes)
    if not classes:
        return f"`{CLASSES}` has no `notebook_classes`, so there is no table to show."
    lines = [
        "| class | memory limit | reserved memory | cores | hours | runs on | slots |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in classes:
        slots = (
            f"{row['slots_per_host']} per host"
            if "slots_per_host" in row
            else "share of one partitionable slot"
        )
        name = code(row["name"]) + (" (default)" if row.get("default") else "")
        limit, reserved = (f"{row[key] / 1024:g} GB" for key in ("memory_limit_mb", "slot_memory_mb"))
        numbers = f"{limit} | {reserved} | {row['cores']} | {row['runtime_s'] / 3600:g}"
        lines.append(f"| {name} | {numbers} | {code(row['run_on'])} | {slots} |")
    return "\n".join(lines)


def render(repository: Path) -> dict[Path, str]:
    """What every file that this program writes to should hold."""
    variables = repository / "docs" / "variables.md"
    texts = {variables: variables_page(repository)}
    for path in [*sorted((repository / "docs").glob("**/*.md")), repository / "README.md"]:
        if path != variables and path.is_file() and BEGIN in (text := path.read_text(encoding="utf-8")):
            texts[path] = text
    table = f"{BEGIN}\n{class_table(repository)}\n{END}"
    return {path: BETWEEN.sub(lambda _: table, text) for path, text in texts.items()}


def main(arguments: list[str] | None = None) -> int:
    """Write or check; 1 where a check found something out of date."""
    parser = argparse.ArgumentParser(
        description="Write the parts of the docs that come from the roles and the inventory."
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; end with 1 if something is out of date"
    )
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    stale = {
        path: text
        for path, text in render(options.repository).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        shown = path.relative_to(options.repository)
        if options.check:
            print(f"{shown} is out of date: run make docs", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{shown} written")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
