"""A session that can't be says what is missing, before anything was started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from afhub_outsource import OutsourceError, private
from afhub_outsource.spark import Cluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(private, "folder", lambda: tmp_path)
    return Cluster(workers=1, cores=1, memory_mb=1024, timeout_s=1)


def test_a_kernel_without_pyspark_is_told_apart_from_one_that_has_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(OutsourceError, match=r"PySpark is not in this kernel's environment .*Change Kernel"):
        cluster.start("notebook", {})
    cluster.stop()
    assert list(tmp_path.iterdir()) == []
