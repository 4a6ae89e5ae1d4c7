"""The environment and configuration that every git of scaffold's runs with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from scaffold.settings import Settings

# What a surrounding git (a hook, an alias) sets to point at its own repository: `git rev-parse --local-env-vars`.
FOREIGN_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)

# The user's own configuration stays in force (proxies, certificates, credential helpers); this goes on top of it.
CONFIG = {
    "advice.detachedHead": "false",
    "checkout.workers": "0",
    "clone.defaultRemoteName": "origin",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    # Of Windows alone: without it nothing is checked out that lies deeper than 260 characters.
    "core.longpaths": "true",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    # A redirect leads to a host that nobody allowed: scaffold looks at the new address itself (see redirects).
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "30",
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "protocol.file.allow": "never",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.fsckObjects": "true",
    "user.useConfigOnly": "true",
    # Old, harmless slips that well-known histories hold for ever.
    "fetch.fsck.badEmail": "warn",
    "fetch.fsck.badName": "warn",
    "fetch.fsck.badTimezone": "warn",
    "fetch.fsck.missingEmail": "warn",
    "fetch.fsck.missingNameBeforeEmail": "warn",
    "fetch.fsck.missingSpaceBeforeDate": "warn",
    "fetch.fsck.missingSpaceBeforeEmail": "warn",
    "fetch.fsck.zeroPaddedDate": "warn",
    "fetch.fsck.zeroPaddedFilemode": "warn",
}

# A helper, not a header: git gives it to the exact host only, also after a redirect, and only if the host asks.
_TOKEN_VARIABLE = "SCAFFOLD_GIT_TOKEN"
_CREDENTIAL_HELPER = (
    f'!f() {{ test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "${_TOKEN_VARIABLE}"; }}; f'
)
NOBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "scaffold"), ("EMAIL", "scaffold@localhost"))
}


def environment(settings: Settings, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is added to git's environment: no questions, no transports but https and ssh, nothing that runs by itself.

    The token is in it, for the server's exact host only; it never reaches a command line or a file.
    """
    inherited = os.environ if inherited is None else inherited
    http = ":http" if settings.server_url.startswith("http://") else ""
    added = {
        # The credential manager of Windows would ask in a window of its own.
        "GCM_INTERACTIVE": "never",
        "GIT_ALLOW_PROTOCOL": f"https:ssh{http}",
        "GIT_ASKPASS": "",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }
    config = list(CONFIG.items())
    if settings.token:
        added[_TOKEN_VARIABLE] = settings.token
        key = f"credential.{settings.server_url}.helper"
        # The empty value drops the user's own helpers for this host: they would store the token.
        config += [(key, ""), (key, _CREDENTIAL_HELPER)]
    return {**added, **configured(config, inherited)}


def configured(pairs: Sequence[tuple[str, str]], before: Mapping[str, str]) -> dict[str, str]:
    """The variables that set configuration for one git, after what an environment sets already."""
    given = before.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0
    added = {"GIT_CONFIG_COUNT": str(first + len(pairs))}
    for number, (key, value) in enumerate(pairs, first):
        added[f"GIT_CONFIG_KEY_{number}"] = key
        added[f"GIT_CONFIG_VALUE_{number}"] = value
    return added
