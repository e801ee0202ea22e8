"""Errors that end in one clear line for a person."""

from __future__ import annotations


class InputError(Exception):
    """An input that cannot be used: which one, what is wrong with it, what to do.

    Nothing in it may be secret: it is printed as it is.
    """

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint
