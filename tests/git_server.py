"""A git host for tests: `git http-backend` behind the standard library's HTTP server, on this machine only.

It answers as GitHub does: `/owner/name.git` is a repository however its letters are written, and what is missing or
private asks for a password.
Faults are set per repository while it runs.
"""

from __future__ import annotations

import gzip
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path

_BACKEND = "git http-backend"
_PART = 64 * 1024
_QUIET = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}


def git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    """Run git as a test's own tool, apart from the user's configuration. Returns what it printed."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=_QUIET, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@dataclass
class Fault:
    """What goes wrong with a repository."""

    status: int | None = None  # answer this instead
    token: str | None = None  # private: only with this password
    location: str | None = None  # redirect to this base address
    renamed: str | None = None  # and to this name there
    trickle: bool = False  # one byte of pack a second
    cut_after: int | None = None  # reset the connection after so many bytes of pack


@dataclass
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    authorization: str | None


@dataclass
class GitServer:
    """A running host. `url` is what GITHUB_SERVER_URL is set to."""

    root: Path
    url: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    trickling: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """A repository with one commit. Returns the work tree, from which `publish` brings further commits."""
        work = self.root / "work" / name
        work.mkdir(parents=True)
        git(work, "init", "--quiet", "--initial-branch=main")
        bare = self.root / f"{name}.git"
        bare.parent.mkdir(exist_ok=True)
        self.commit(name, files or {"README.md": f"# {name}\n"})
        subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(bare)], env=_QUIET, check=True)
        git(work, "remote", "add", "origin", str(bare))
        return work

    def commit(self, name: str, files: Mapping[str, str], message: str = "A change") -> str:
        """Commit files in the work tree of a repository. Returns the commit."""
        work = self.root / "work" / name
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text, encoding="utf-8")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", f"--message={message}")
        return git(work, "rev-parse", "HEAD")

    def publish(self, name: str, *refs: str) -> None:
        """Bring the work tree's branches and tags to the host."""
        git(self.root / "work" / name, "push", "--quiet", "--force", "origin", *(refs or ("main",)))

    def paths(self) -> list[str]:
        """The paths that were asked for, without their queries."""
        return [request.path.partition("?")[0] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host: GitServer

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self._body()
        path, _, query = self.path.partition("?")
        given = self.headers.get("Authorization")
        self.host.requests.append(Request(self.command, self.path, given))
        owner, _, rest = path[1:].partition("/")
        name, _, service = rest.partition("/")
        repository = f"{owner}/{name.removesuffix('.git')}".lower()
        fault = self.host.faults.get(repository, Fault())
        if fault.location:
            place = f"/{fault.renamed}.git/{self.path.split('/', 3)[3]}" if fault.renamed else self.path
            self._plain(302, "", Location=f"{fault.location}{place}")
        elif fault.status:
            self._plain(fault.status, "a fault")
        elif not (self.host.root / f"{repository}.git").is_dir() or (fault.token and not _opens(given, fault.token)):
            self._plain(401, "Repository not found.", **{"WWW-Authenticate": 'Basic realm="test"'})
        else:
            self._backend(f"/{repository}.git/{service}", query, body, fault)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _plain(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def _backend(self, path: str, query: str, body: bytes, fault: Fault) -> None:
        environment = {
            **_QUIET,
            "GIT_PROJECT_ROOT": str(self.host.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        with subprocess.Popen(
            _BACKEND.split(), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as backend:
            assert backend.stdin is not None
            assert isinstance(backend.stdout, BufferedReader)
            try:
                with backend.stdin:
                    backend.stdin.write(body)
                self._relay(backend, backend.stdout, fault)
            except BaseException:
                backend.kill()  # it would wait for a client that is gone
                raise

    def _relay(self, backend: subprocess.Popen[bytes], answer: BufferedReader, fault: Fault) -> None:
        """Hand on an answer while the backend still makes it, as a real host does; faults need all of it first."""
        fields = {}
        while line := answer.readline().decode().strip():
            name, _, value = line.partition(": ")
            fields[name] = value
        content = answer.read() if fault.trickle or fault.cut_after is not None else None
        length = {"Transfer-Encoding": "chunked"} if content is None else {"Content-Length": str(len(content))}
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in {**fields, **length}.items():
            self.send_header(name, value)
        self.end_headers()
        if content is not None:
            self._send(content, fault)
            return
        while part := answer.read1(_PART):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if backend.wait() != 0:
            raise ConnectionError("the backend failed")  # without the last chunk the client knows as well
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, content: bytes, fault: Fault) -> None:
        is_pack = self.command == "POST" and b"packfile" in content[:4096]
        if is_pack and fault.cut_after is not None:
            self.wfile.write(content[: fault.cut_after])
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif is_pack and fault.trickle:
            self.host.trickling.set()
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.host.closed.wait(1):
                    break
        else:
            self.wfile.write(content)


def _opens(given: str | None, token: str) -> bool:
    from base64 import b64decode

    kind, _, value = (given or "").partition(" ")
    return kind == "Basic" and b64decode(value).decode().partition(":")[2] == token


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""


@contextmanager
def serve(root: Path) -> Iterator[GitServer]:
    """Run a host over the repositories in `root` for as long as the context lasts."""
    root.mkdir(parents=True, exist_ok=True)
    host = GitServer(root)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.closed.set()
        server.shutdown()
        server.server_close()
