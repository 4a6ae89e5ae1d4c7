"""What a web service needs around its model: where it listens, and how much it reads of what it is sent."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from runtime.extras import need


def read_arguments(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, with --host and --port besides. Raises UserError where a package of the service is missing."""
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: this computer only)")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port <= 65535:
        parser.error(f"--port must be from 0 to 65535, not {arguments.port}")
    for module in ("fastapi", "uvicorn"):
        need(module, "python serve.py")
    return arguments


def curl() -> str:
    """What curl is called here: PowerShell has something else by that name."""
    return "curl.exe" if os.name == "nt" else "curl"


def new_app(title: str, most_bytes: int) -> Any:
    """A service that has no answers yet. It refuses a request of more than `most_bytes` before it reads it."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    app = FastAPI(title=title, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def limit_size(request: Request, call_next: Any) -> Any:
        length = request.headers.get("content-length", "")
        if request.method == "POST" and not (length.isdecimal() and int(length) <= most_bytes):
            return JSONResponse({"detail": f"the request needs a content-length of at most {most_bytes}"}, 413)
        return await call_next(request)

    return app


def answer_requests(app: Any, host: str, port: int) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    uvicorn.run(app, host=host, port=port, log_level="warning")
