"""What can be wrong with a lake."""


class LakeError(Exception):
    """The lake can't do what was asked; the message says why, and what to do."""
