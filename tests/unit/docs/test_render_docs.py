"""The generated parts of the docs say what roles and inventory say, and a change of those is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import render_docs

REPOSITORY = Path(__file__).resolve().parents[3]

SPEC = """\
argument_specs:
  main:
    short_description: A demonstration
    options:
      demo_rows:
        type: list
        elements: dict
        required: true
        description:
          - First sentence.
          - Or a | b.
        options:
          cores: {type: int, default: 2, description: Cores.}
      demo_flag: {type: bool, default: false, description: A flag.}
      demo_mode: {type: str, choices: [a, b], default: a, description: A choice.}
"""
CLASSES = """\
secret: !vault |
  $ANSIBLE_VAULT;1.1;AES256
notebook_classes:
  - {name: tiny, title: Tiny, memory_limit_mb: 1536, slot_memory_mb: 512, cores: 1, runtime_s: 5400, run_on: workers,
     slots_per_host: 3, default: true}
  - {name: huge, title: Huge, memory_limit_mb: 20480, slot_memory_mb: 20480, cores: 8, runtime_s: 3600, run_on: big}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one role, two classes and a page that shows them."""
    role = tmp_path / "roles" / "demo" / "meta"
    role.mkdir(parents=True)
    (role / "argument_specs.yml").write_text(SPEC, encoding="utf-8")
    folder = tmp_path / render_docs.CLASSES
    folder.mkdir(parents=True)
    (folder / "classes.yml").write_text(CLASSES, encoding="utf-8")
    page = f"# Classes\n\n{render_docs.BEGIN}\nold\n{render_docs.END}\n\nThe end.\n"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(page, encoding="utf-8")
    return tmp_path


def run(repository: Path, *arguments: str) -> int:
    """Call the program as the command line does."""
    return render_docs.main(["--repository", str(repository), *arguments])


def test_the_docs_of_this_repository_are_up_to_date() -> None:
    assert render_docs.main(["--check"]) == 0, "run make docs"


def test_variables_are_listed_with_type_default_and_description(repository: Path) -> None:
    assert run(repository) == 0
    page = (repository / "docs" / "variables.md").read_text(encoding="utf-8")
    assert "## Role `demo`\n\nA demonstration.\n" in page
    assert "| `demo_rows` | list of dict | **must be set** | First sentence. Or a \\| b. |" in page
    assert "| `demo_rows[].cores` | int | `2` | Cores. |" in page
    assert "| `demo_flag` | bool | `false` | A flag. |" in page
    assert "| `demo_mode` | `a` or `b` | `a` | A choice. |" in page


def test_the_classes_stand_between_their_marks(repository: Path) -> None:
    run(repository)
    page = (repository / "docs" / "page.md").read_text(encoding="utf-8")
    assert "| `tiny` (default) | 1.5 GB | 0.5 GB | 1 | 1.5 | `workers` | 3 per host |" in page
    assert "| `huge` | 20 GB | 20 GB | 8 | 1 | `big` | share of one partitionable slot |" in page
    assert page.startswith("# Classes\n\n<!-- classes: begin -->\n| class |")
    assert page.endswith("<!-- classes: end -->\n\nThe end.\n")
    assert "old" not in page


def test_without_classes_the_page_says_so(repository: Path) -> None:
    shutil.rmtree(repository / render_docs.CLASSES)
    run(repository)
    assert "has no `notebook_classes`" in (repository / "docs" / "page.md").read_text(encoding="utf-8")


def test_a_check_names_what_is_out_of_date_and_changes_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (repository / "docs" / "page.md").read_text(encoding="utf-8")
    assert run(repository, "--check") == 1
    errors = capsys.readouterr().err
    assert "docs/variables.md is out of date: run make docs" in errors
    assert "docs/page.md is out of date" in errors
    assert (repository / "docs" / "page.md").read_text(encoding="utf-8") == before
    assert not (repository / "docs" / "variables.md").exists()


def test_a_second_run_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(repository)
    capsys.readouterr()
    assert run(repository) == 0
    assert capsys.readouterr().out == ""
    assert run(repository, "--check") == 0
