"""`plotify serve` in a forked process, where it starts fast because it is imported already."""

import os
from multiprocessing.connection import Connection

import uvicorn  # noqa: F401

import server.app
import server.http.connection  # noqa: F401
from server.cli import main


def serve(bundle: str, database: str, said: Connection) -> None:
    """Serve until killed, with a line of output at the start."""
    os.dup2(said.fileno(), 1)
    os.environ["PLOTIFY_DATABASE"] = database
    main(["serve", "--model", bundle, "--port", "0"])
