"""What is built is all that the page needs, and no more; what is missing is named."""

import json
import re
import threading
from contextlib import closing
from http.client import HTTPConnection
from zipfile import ZipFile

import pytest

from kvraft.cli import cli
from kvraft.errors import BadInput
from kvraft.viz.playground import build, serve
from tests.helpers.browser import needs_npm

PAGE = {file.name for file in build._PAGE.iterdir()}
PYODIDE = {*build.CORE_FILES, "pyodide-lock.json", "package.json"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    build.build(folder)
    return folder


@needs_npm
def test_it_has_what_the_page_needs_and_no_more(built):
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert files == PAGE | {"kvraft.zip", "sandbox.js", "sandbox.css"} | {
        f"pyodide/{name}" for name in PYODIDE
    }
    lock = json.loads((built / "pyodide" / "pyodide-lock.json").read_text())
    assert lock["packages"] == {}
    assert lock["info"]["python"].startswith("3.14.")
    with ZipFile(built / "kvraft.zip") as archive:
        names = archive.namelist()
    assert {"kvraft/viz/playground/host.py", "sortedcontainers/sortedlist.py"} <= set(names)
    assert not [name for name in names if not name.endswith((".py", "LICENSE", ".toml"))]
    assert "kvraft/check/missions/files/lost-write.toml" in names
    assert "kvraft/course/exercises.toml" not in names


@needs_npm
def test_it_is_built_again_without_a_network_to_the_same_bytes(built, monkeypatch):
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    build.build(built)
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


def test_the_page_names_no_other_server():
    for file in build._PAGE.iterdir():
        assert not re.findall(r"https?://[^\s\"']+", file.read_text(encoding="utf-8")), file


def test_without_npm_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    assert cli.main(["playground", str(tmp_path / "site"), "--no-serve"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "npm is not installed here" in err
    assert "install Node.js" in err


def test_an_npm_that_fails_is_quoted(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error no such registry' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(build.shutil, "which", lambda name: str(npm))
    with pytest.raises(BadInput, match=r"cannot fetch pyodide [\d.]+: npm error no such registry"):
        build.build(tmp_path / "site")


def test_files_are_served_with_the_types_that_a_browser_insists_on(tmp_path):
    types = {"mjs": "text/javascript", "wasm": "application/wasm", "css": "text/css"}
    for suffix in types:
        (tmp_path / f"file.{suffix}").write_bytes(b"")
    with serve.server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.server_address[0] == "127.0.0.1"
        with closing(HTTPConnection("127.0.0.1", server.server_port)) as asking:
            for suffix, kind in types.items():
                asking.request("GET", f"/file.{suffix}")
                answer = asking.getresponse()
                answer.read()
                assert answer.headers["Content-Type"] == kind
        with pytest.raises(BadInput, match=rf"port {server.server_port} of 127\.0\.0\.1 cannot"):
            serve.server(tmp_path, server.server_port)
        server.shutdown()
    with pytest.raises(BadInput, match="port 70000"):
        serve.server(tmp_path, 70_000)
