"""Bring: repositories on the user's disk, pinned in `references.lock`."""
