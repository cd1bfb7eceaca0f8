"""What can go wrong, as exceptions whose message is meant for the user, who sees every character of it."""

from __future__ import annotations


class KvsweepError(Exception):
    """Something the user can act on; the message is one clear sentence."""


class UnparsableOutput(KvsweepError):
    """Engine output that is not what it must be; the message names what was found.

    The parsers use every redundancy of the output, so that a cut, repeated or mixed log fails instead of
    giving another number. What they cannot see is a digit changed where the output says a thing only once:
    against that stand the raw files' checksums in run.json, which are verified before anything is parsed, and
    the comparison of what a cell reports (types, depth, context) with what was asked for.
    """


class Interrupted(BaseException):
    """A signal ended the runner; the engine is gone. ``signum`` says which."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def printable(text: str) -> str:
    """The text in which every character that cannot be seen is written as Python writes it."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
