"""Lists as options of a command: 1,8,32."""

from collections.abc import Callable

import click


def whole_numbers(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Of "1,8,32". Raises click.BadParameter for anything but numbers over 0."""
    try:
        found = tuple(int(number) for number in given.split(","))
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is not a list of whole numbers such as 1,8") from wrong
    if min(found) < 1:
        raise click.BadParameter(f"{min(found)} is under 1")
    return found


def numbers(context: click.Context, parameter: click.Parameter, given: str | None) -> tuple[float, ...]:
    """Of "0.5,2"; none of nothing. Raises click.BadParameter for anything but numbers over 0."""
    try:
        found = tuple(float(number) for number in given.split(",")) if given else ()
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is not a list of numbers such as 0.5,2") from wrong
    if not all(0 < number < float("inf") for number in found):
        raise click.BadParameter(f"{given!r}: every number must be over 0")
    return found


def some_of(known: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """A callback for an option that is a list of the names in `known`, "all" for each of them."""

    def read(context: click.Context, parameter: click.Parameter, given: str) -> tuple[str, ...]:
        names = known if given == "all" else tuple(dict.fromkeys(filter(None, given.split(","))))
        for name in names:
            if name not in known:
                raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
        return names

    return read
