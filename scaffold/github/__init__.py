"""GitHub: its API, what it told before, and lists' files. The only room that talks to it."""
