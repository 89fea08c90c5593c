"""The parts of docs/generate.py: each module writes the pages of one kind from the code."""
