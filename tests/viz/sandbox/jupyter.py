"""A Jupyter server and a headless Chromium, for tests that click in a real page."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat

from tests.helpers.browser import CHROMIUM, chromium

TOKEN = "sandbox"
_FOLDERS = [
    *("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"),
    *("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"),
]


def left_out() -> str:
    """Return why tests in a browser are left out, "" if they are not."""
    if CHROMIUM is None:
        return "no Chromium is found: nothing was clicked in a real page"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed: nothing was clicked in a real page"
    return ""


def write_notebook(path: Path, cells: list[str]) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


@contextmanager
def server(kind: str, folder: Path):
    """Start ``jupyter KIND`` on ``folder``; yield its address."""
    env = dict(os.environ) | {name: str(folder / ".home" / name) for name in _FOLDERS}
    settings = Path(env["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab"
    for name, values in (
        ("apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}),
        ("notebook-extension/tracker", {"windowingMode": "none"}),
    ):
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", kind, "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    command += ["--expose-app-in-browser"]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        for _ in range(240):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()


@contextmanager
def browser(width: int = 1280, height: int = 1000):
    with chromium() as launched:
        yield launched.new_page(viewport={"width": width, "height": height})


_READY = """async () => {
  const app = window.jupyterapp;
  const panel = app.shell.currentWidget;
  if (!panel?.context) return false;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) return false;
  await kernel.info;
  return kernel.status === "idle" && kernel.connectionStatus === "connected";
}"""


def open_notebook(page, address: str, kind: str, name: str) -> None:
    """Open a notebook, run all cells, and wait until the kernel is idle again."""
    place = (
        f"lab/tree/{name}?token={TOKEN}&reset"
        if kind == "lab"
        else f"notebooks/{name}?token={TOKEN}"
    )
    page.goto(f"{address}/{place}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    for _ in range(200):
        if page.evaluate(_READY):
            break
        page.wait_for_timeout(200)
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".kv-title", timeout=120_000)
    page.wait_for_selector("[data-seq]", timeout=60_000)


def ask(page, code: str) -> str:
    """Run ``code`` in the kernel, and return what it prints."""
    return page.evaluate(
        """async (code) => {
          const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          const future = kernel.requestExecute({ code, store_history: false });
          let text = "";
          future.onIOPub = (message) => {
            if (message.header.msg_type === "stream") text += message.content.text;
            if (message.header.msg_type === "error") text += message.content.evalue;
          };
          await future.done;
          return text.trim();
        }""",
        code,
    )
