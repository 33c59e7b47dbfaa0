"""The panels of the Dask extension show the cluster that a kernel has made, through the notebook's own address."""

from __future__ import annotations

import re
from collections.abc import Iterator

import batchqueue
import pytest
from chromium import chromium
from hubclient import HubUser
from labpage import LOADS_MS, LabPage, hub_window, keep_picture, notebook
from playwright.sync_api import BrowserContext, expect

from minipool import Minipool, wait_for

FILE = "dask-panels.ipynb"
CLUSTER = """\
from dask.distributed import Client
from dask_jobqueue import HTCondorCluster

cluster = HTCondorCluster()
cluster.scale(jobs=2)
client = Client(cluster)
client.wait_for_workers(2)
print("the workers are here")
"""
WORK = """\
import time

def wait(number):
    time.sleep(0.2)
    return number

print("the sum is", sum(client.gather(client.map(wait, range(200)))))
"""
# How many dots of a page of Dask's have a colour. It draws into canvases, each in a shadow of its own.
COLOURED = """
page => {
  const canvases = [];
  const collect = node => {
    for (const one of node.querySelectorAll('*')) {
      if (one.tagName === 'CANVAS' && one.width && one.height) canvases.push(one);
      if (one.shadowRoot) collect(one.shadowRoot);
    }
  };
  collect(page);
  let dots = 0;
  for (const canvas of canvases) {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < data.length; i += 4) {
      const [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
      if (data[i + 3] && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) dots += 1;
    }
  }
  return dots;
}
"""


@pytest.fixture
def window(pool: Minipool, alices_notebook: HubUser) -> Iterator[BrowserContext]:
    """alice's window; her file has cells for a cluster, and for work that takes 20 seconds on it."""
    file = notebook(CLUSTER, WORK)
    file["content"]["metadata"]["kernelspec"]["name"] = "analysis"
    alices_notebook.notebook("PUT", f"api/contents/{FILE}", json=file).raise_for_status()
    with chromium(pool.port) as browser, hub_window(browser, pool, "alice") as window:
        yield window
    alices_notebook.stop()
    pool.check("hub", f"rm -f {FILE}", user="alice")
    batchqueue.wait_until_empty(pool, "alice", 180)


def test_the_cluster_is_found_and_its_tasks_are_drawn(window: BrowserContext) -> None:
    lab = LabPage(window.new_page())
    lab.open("/user/alice/lab?reset")
    editor = lab.open_file(FILE)
    expect(lab.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=LOADS_MS)
    editor.click()
    lab.page.keyboard.press("Shift+Enter")
    output = lab.page.locator(".jp-OutputArea-output")
    expect(output.filter(has_text="the workers are here")).to_be_visible(timeout=180_000)
    lab.page.get_by_role("tab", name="Dask", exact=True).click()
    lab.page.get_by_role("button", name="Auto-detect dashboard URL").click()
    expect(lab.page.get_by_placeholder("DASK DASHBOARD URL")).to_have_value(
        re.compile(r"/user/alice/proxy/"), timeout=LOADS_MS
    )
    lab.page.get_by_text("Task Stream", exact=True).click()
    stream = lab.page.frame_locator("iframe[src*=individual-task-stream]").locator("body")
    stream.wait_for(timeout=LOADS_MS)
    wait_for("the page is drawn", lambda: stream.locator("canvas").count() > 0)
    before = int(stream.evaluate(COLOURED))
    lab.page.get_by_role("tab", name=FILE).click()
    lab.page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".cm-content").click()
    lab.page.keyboard.press("Shift+Enter")
    lab.page.get_by_role("tab", name="Task Stream", exact=True).click()
    wait_for("tasks are drawn", lambda: stream.evaluate(COLOURED) > before + 20_000, 120)
    keep_picture(lab.page, "dask-panels", for_docs=True)
