"""Errors that are meant for the user rather than for a debugger."""


class UserError(Exception):
    """Bad input. The message names what is wrong, where it is, and the cure."""


def refusal(function, *arguments):
    """[The sentence of the UserError that `function(*arguments)` raises], or none."""
    try:
        function(*arguments)
    except UserError as error:
        return [str(error)]
    return []
