"""The error of the export."""


class ExportError(Exception):
    """The export cannot go on.

    The message names the input, the problem and the remedy, in one line or a few.
    """
