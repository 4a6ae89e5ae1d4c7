"""From a topic to a running AI project: find, bring, make."""

__version__ = "0.1.0"
