"""Holds scratch against ref: do they agree, if not why not, how do they train, how fast are they."""
