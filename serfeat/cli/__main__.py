"""``python -m serfeat.cli``."""

from serfeat.cli import script

script()
