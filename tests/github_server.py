"""A small GitHub on this machine: REST, GraphQL and raw files over real HTTP, with faults on demand."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.github_account import Accounts, repository

VARY = "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With"


@dataclass
class Request:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def token(self) -> str | None:
        """The token it brought."""
        return self.headers.get("authorization", "").removeprefix("Bearer ").removeprefix("token ") or None


@dataclass
class Fault:
    """What happens instead of an answer.

    Attributes:
        kind: status, cut (half of the body, then the connection closes), trickle (of the body), slow-headers,
            slow-chunk (its length comes digit by digit), hang, delay (body: seconds), drop (no answer at all).
        times: for how many requests.
        path: only for paths that hold this.
        method: only for this method.
        done: what was asked is done all the same; only its answer is lost.
    """

    kind: str = "status"
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    times: int = 1_000_000
    path: str = ""
    method: str = ""
    done: bool = False


class GitHubServer:
    """A context manager; `requests` are those that came in, oldest first."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Any]] = {}
        self.private: dict[str, list[dict[str, Any]]] = {}  # token → what only its owner finds
        self.renamed: dict[str, str] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.accounts = Accounts(self.repositories)
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.released = threading.Event()
        handler = type("Handler", (_Handler,), {"github": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> GitHubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads scaffold here."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": self.url,
            "SCAFFOLD_RAW_URL": f"{self.url}/raw",
        }

    def add(self, name: str, **facts: Any) -> None:
        """A repository that everybody sees."""
        self.repositories[name.lower()] = repository(name, **facts)

    def add_file(self, name: str, path: str, content: str | bytes) -> None:
        """A raw file."""
        self.files[name.lower(), path] = content.encode() if isinstance(content, str) else content

    def fail(self, **fault: Any) -> None:
        """From now on this fault, before those named earlier."""
        self.faults.insert(0, Fault(**fault))

    def paths(self) -> list[str]:
        """The requests as `METHOD path`, without queries."""
        return [f"{request.method} {urlsplit(request.path).path}" for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: GitHubServer

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length).decode()
        request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
        self.github.requests.append(request)
        for fault in self.github.faults:
            if fault.times > 0 and fault.path in self.path and fault.method in ("", self.command):
                fault.times -= 1
                if fault.done:
                    self.github.accounts.answer(
                        request.method, unquote(urlsplit(self.path).path), request.token, self.body
                    )
                self._fail(fault)
                if fault.kind != "delay":
                    return
                break
        self._answer(request)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "hang":
            self.github.released.wait(60)
            self.close_connection = True
        elif fault.kind == "drop":
            self.close_connection = True
        elif fault.kind == "delay":
            time.sleep(float(fault.body))
        elif fault.kind == "cut":
            self._head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
            self.wfile.write(b'{"items": [')
            self.close_connection = True
        elif fault.kind == "trickle":
            self._head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
            self._trickle(b" ")
        elif fault.kind == "slow-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self._trickle(b"x")
        elif fault.kind == "slow-chunk":
            self._head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            self._trickle(b"0")
        else:
            self._send(fault.status, fault.body.encode(), {"Content-Type": "application/json", **fault.headers})

    def _trickle(self, byte: bytes) -> None:
        while not self.github.released.wait(0.1):
            try:
                self.wfile.write(byte)
                self.wfile.flush()
            except OSError:
                break
        self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _json(self, document: Any, status: int = 200, **headers: str) -> None:
        self._send(
            status,
            json.dumps(document).encode(),
            {
                "Content-Type": "application/json; charset=utf-8",
                "Vary": VARY,
                "X-RateLimit-Limit": "60",
                "X-RateLimit-Remaining": "59",
                "Set-Cookie": "_octo=1",
                **headers,
            },
        )

    def _answer(self, request: Request) -> None:
        path = unquote(urlsplit(self.path).path)
        answer = self.github.accounts.answer(request.method, path, request.token, self.body)
        if answer is not None:
            status, document, headers = answer
            if status == 204:
                self._head(204, headers)
            else:
                self._json(document, status, **headers)
            return
        routes: list[tuple[str, Callable[..., None]]] = [
            (r"/search/repositories", lambda: self._search(request)),
            (r"/graphql", self._graphql),
            (r"/repos/([^/]+/[^/]+)", lambda name: self._repository(name, request)),
            (r"/raw/([^/]+/[^/]+)/HEAD/(.+)", lambda name, file: self._raw(name, file, request)),
        ]
        for pattern, act in routes:
            found = re.fullmatch(pattern, path)
            if found:
                act(*found.groups())
                return
        self._json({"message": "Not Found"}, 404)

    def _search(self, request: Request) -> None:
        options = parse_qs(urlsplit(self.path).query)
        words = [word for word in options["q"][0].lower().split() if ":" not in word]
        seen = [*self.github.repositories.values(), *self.github.private.get(request.token or "", [])]
        found = [
            item
            for item in seen
            if all(word in f"{item['full_name']} {item['description']} {item['topics']}".lower() for word in words)
        ]
        found.sort(key=lambda item: -item["stargazers_count"])
        size = int(options.get("per_page", ["30"])[0])
        document = {"total_count": len(found), "incomplete_results": False, "items": found[:size]}
        self._json(document, **{"Cache-Control": "no-cache"})

    def _repository(self, name: str, request: Request) -> None:
        new = self.github.renamed.get(name.lower())
        if new:
            location = f"{self.github.url}/repos/{new}"
            self._json({"message": "Moved Permanently", "url": location}, 301, Location=location)
            return
        facts = self.github.repositories.get(name.lower())
        if facts is None:
            self._json({"message": "Not Found"}, 404)
            return
        tag = f'"{blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            self._head(304, {"ETag": tag})
            return
        self._json(facts, ETag=tag)

    def _graphql(self) -> None:
        asked = re.findall(r'(r\d+): repository\(owner: "([^"]*)", name: "([^"]*)"\)', json.loads(self.body)["query"])
        data: dict[str, Any] = {}
        errors = []
        for alias, owner, name in asked:
            key = f"{owner}/{name}".lower()
            facts = self.github.repositories.get(self.github.renamed.get(key, key).lower())
            data[alias] = facts and {
                "nameWithOwner": facts["full_name"],
                "description": facts["description"],
                "stargazerCount": facts["stargazers_count"],
                "licenseInfo": facts["license"] and {"spdxId": facts["license"]["spdx_id"]},
                "primaryLanguage": facts["language"] and {"name": facts["language"]},
                "isArchived": facts["archived"],
                "pushedAt": facts["pushed_at"],
                "isFork": facts["fork"],
                "isPrivate": facts["private"],
                "repositoryTopics": {"nodes": [{"topic": {"name": topic}} for topic in facts["topics"]]},
            }
            if not facts:
                errors.append({"type": "NOT_FOUND", "path": [alias], "message": f"no {owner}/{name}"})
        self._json({"data": data, **({"errors": errors} if errors else {})})

    def _raw(self, name: str, path: str, request: Request) -> None:
        new = self.github.renamed.get(name.lower())
        if new:
            self._send(301, b"", {"Location": f"{self.github.url}/raw/{new}/HEAD/{path}"})
            return
        content = self.github.files.get((name.lower(), path))
        if content is None:
            self._send(404, b"404: Not Found", {"Content-Type": "text/plain"})
            return
        tag = f'"{blake2b(content, digest_size=8).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            self._head(304, {"ETag": tag})
            return
        self._send(200, content, {"Content-Type": "text/plain; charset=utf-8", "ETag": tag})
