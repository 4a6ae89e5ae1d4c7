from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.github_server import GitHubServer


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        running.add("one/awesome-nlp", description="An awesome list about nlp", stargazers_count=500)
        running.add("two/nlp-kit", description="Tools for nlp", stargazers_count=9000, license={"spdx_id": "MIT"})
        running.add("two/odd", description="Odd nlp", license={"spdx_id": "NOASSERTION"}, archived=True)
        running.renamed["old/nlp-kit"] = "two/nlp-kit"
        yield running
