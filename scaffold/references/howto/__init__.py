"""How to run what was brought: what a repository's own files say of it, and an environment of its own where asked."""

from scaffold.references.howto.environment import Environment, make_environment
from scaffold.references.howto.model import HowTo
from scaffold.references.howto.reading import read_howto

__all__ = ["Environment", "HowTo", "make_environment", "read_howto"]
