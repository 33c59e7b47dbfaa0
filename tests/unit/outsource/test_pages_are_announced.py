"""A tool's web page is announced to the notebook's server, which understands it."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

import pytest

from afhub_outsource import pages
from jupyter_afhub import batch_pages


def test_a_page_is_a_link_until_it_is_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    word = pages.announce("spark", 40404, "jobs/")
    assert word is not None and stat.S_IMODE(word.stat().st_mode) == 0o600
    assert batch_pages.found("/user/ann/", tmp_path / "runtime") == [
        {"tool": "spark", "address": "/user/ann/proxy/40404/jobs/"}
    ]
    pages.withdraw(word)
    pages.withdraw(word)
    assert batch_pages.found("/user/ann/", tmp_path / "runtime") == []


def test_a_link_less_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTER_RUNTIME_DIR", raising=False)
    assert pages.announce("dask", 8787, "status") is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file"))
    assert pages.announce("dask", 8787, "status") is None
