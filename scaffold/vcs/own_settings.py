"""What the folder of a reference may set for git itself: nothing that runs a program or leads elsewhere.

A folder can come from anywhere, such as an archive. git would obey the `.git/config` in it: run its filters, use its
proxy, fetch from its other addresses. Only settings that are known to be harmless pass.
"""

from __future__ import annotations

import re

_HARMLESS = re.compile(
    r"""
    core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol
        |safecrlf|whitespace|quotepath|longpaths|abbrev|compression|sparsecheckout|sparsecheckoutcone|untrackedcache
        |hookspath|fsmonitor)                       # the last two are overridden (see environment)
    |extensions\.(?:objectformat|refstorage|partialclone)
    |remote\..+\.(?:url|pushurl|fetch|push|tagopt|prune|skipdefaultupdate|skipfetchall|gh-resolved)
    |remote\.origin\.(?:promisor|partialclonefilter)
    |submodule\..+\.(?:url|active|branch|ignore|update)     # scaffold never runs `git submodule`
    |submodule\.(?:active|recurse)
    |branch\..+|alias\..+|color\..+|column\..+|gui\..+|gitflow\..+
    |user\.(?:name|email|signingkey)|github\.user|(?:commit|tag)\.gpgsign
    |(?:pull|push|rebase|gc|pack|index|feature|advice)\.[a-z]+
    |fetch\.(?:prune|prunetags)|merge\.(?:ff|conflictstyle)|diff\.(?:algorithm|renames|colormoved)
    |status\.(?:branch|short|showuntrackedfiles)|log\.[a-z]+|init\.defaultbranch|maintenance\.(?:auto|strategy)
    |lfs\.repositoryformatversion|lfs\.https://.+\.(?:access|locksverify)
    """,
    re.VERBOSE,
)


def objection(listing: str) -> str | None:
    """The first setting that stands against running git in a folder, None without one.

    Args:
        listing: what `git config --local --list --null` prints.
    """
    settings = [item.partition("\n")[::2] for item in listing.split("\0") if item]
    keys = [key for key, _ in settings]
    for key, value in settings:
        # git fetches from the first of several addresses, and shows the last.
        twice = key == "remote.origin.url" and keys.count(key) > 1
        if twice or not _HARMLESS.fullmatch(key) or (key == "extensions.partialclone" and value != "origin"):
            return key
    return None
