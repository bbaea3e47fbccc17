"""What an export can refuse."""


class ExportError(Exception):
    """The export cannot go on; the message names the input, what is wrong with it and what to do. One line or a few."""
