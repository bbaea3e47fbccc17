"""`plotify serve` in a process that was forked from one which has imported it: starting it costs little."""

import os
from multiprocessing.connection import Connection

import uvicorn  # noqa: F401

import server.app
import server.http.connection  # noqa: F401
from server.cli import main


def serve(bundle: str, database: str, said: Connection) -> None:
    """Serves until it is killed, and says so where its output would be."""
    os.dup2(said.fileno(), 1)
    os.environ["PLOTIFY_DATABASE"] = database
    main(["serve", "--model", bundle, "--port", "0"])
