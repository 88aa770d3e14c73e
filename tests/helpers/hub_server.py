"""A stand-in for the Hugging Face hub: as much of its protocol as finding and downloading a repository's files needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

import pytest

from selbench.data import commits

Answer = tuple[int, dict[str, str], bytes]
Files = dict[str, bytes]


class HubServer:
    """Repositories by (kind, name): the commits of each, the last of which is the main branch; and tags."""

    def __init__(self) -> None:
        self.commits: dict[tuple[str, str], list[tuple[str, Files]]] = {}
        self.tags: dict[tuple[str, str, str], str] = {}
        self.asked: list[str] = []  # "METHOD path" of each request
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._reply(hub.answer(self.path), body=False)

            def do_GET(self) -> None:
                self._reply(hub.answer(self.path))

            def do_POST(self) -> None:
                self._reply(hub.answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))

            def _reply(self, answer: Answer, body: bool = True) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                status, headers, content = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def push(self, name: str, files: Files, kind: str = "model", tag: str = "") -> str:
        """Commit these files as all that a repository holds; gives the commit."""
        known = self.commits.setdefault((kind, name), [])
        commit = hashlib.sha1(f"{kind} {name} {len(known)}".encode()).hexdigest()
        known.append((commit, files))
        if tag:
            self.tags[kind, name, tag] = commit
        return commit

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, url: str, sent: bytes = b"") -> Answer:
        parts = unquote(urlparse(url).path).strip("/").split("/")
        if parts == [""]:
            return 200, {}, b""
        if parts[0] == "api":
            return self._about(parts[1].rstrip("s"), "/".join(parts[2:4]), parts[4:], sent)
        kind, parts = ("dataset", parts[1:]) if parts[0] == "datasets" else ("model", parts)
        if len(parts) < 5 or parts[2] != "resolve":
            return _missing("EntryNotFound")
        return self._file(kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _about(self, kind: str, name: str, rest: list[str], sent: bytes) -> Answer:
        if (kind, name) not in self.commits:
            return _missing("RepoNotFound")
        what, revision = (rest[0], rest[1]) if len(rest) > 1 else ("revision", "main")
        found = self._at(kind, name, revision)
        if not found:
            return _missing("RevisionNotFound")
        commit, files = found
        if what == "revision":
            return _json({"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]})
        listed = [_entry(file, content) for file, content in files.items()]
        if what == "tree":
            under = "/".join(rest[2:])
            return _json([row for row in listed if not under or row["path"].startswith(under + "/")])
        if what == "paths-info":
            wanted = json.loads(sent)["paths"] if sent[:1] == b"{" else parse_qs(sent.decode())["paths"]
            return _json([row for row in listed if row["path"] in wanted])
        return _missing("EntryNotFound")

    def _file(self, kind: str, name: str, revision: str, file: str) -> Answer:
        if (kind, name) not in self.commits:
            return _missing("RepoNotFound")
        found = self._at(kind, name, revision)
        if not found:
            return _missing("RevisionNotFound")
        commit, files = found
        if file not in files:
            status, headers, content = _missing("EntryNotFound")
            return status, {**headers, "X-Repo-Commit": commit}, content
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{_entry(file, files[file])["oid"]}"'}, files[file]

    def _at(self, kind: str, name: str, revision: str) -> tuple[str, Files] | None:
        commits = self.commits[kind, name]
        if revision == "main":
            return commits[-1]
        commit = self.tags.get((kind, name, revision), revision)
        return next((found for found in commits if found[0] == commit), None)


def _entry(file: str, content: bytes) -> dict[str, str | int]:
    return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _json(data: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(data).encode()


def _missing(code: str) -> Answer:
    return 404, {"X-Error-Code": code, "X-Error-Message": code}, b""


@contextmanager
def hub_in_place(monkeypatch: pytest.MonkeyPatch, caches: Path) -> Iterator[HubServer]:
    """A hub of the test's own, which this process asks, with empty caches."""
    import datasets
    from huggingface_hub import constants

    stand_in = HubServer()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ask(monkeypatch, stand_in.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(caches / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", caches / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    yield stand_in
    stand_in.close()
    commits.forget_commits()


def ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The hub at this address is asked from now on."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
    commits.forget_commits()


def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub answers from now on."""
    ask(monkeypatch, "http://127.0.0.1:9")
