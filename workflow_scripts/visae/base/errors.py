"""Errors that are meant for the user rather than for a debugger."""


class UserError(Exception):
    """Bad input. The message names what is wrong, where it is, and the cure."""
