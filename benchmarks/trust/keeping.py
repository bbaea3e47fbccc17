"""Writers whose texts are kept while the server is killed, and who look for them afterwards."""

import aiohttp

from benchmarks.trust.asking import Visitor, visit


class Keeping:
    """What the server said it keeps. kept: how many texts; those of the last writer are looked for."""

    def __init__(self) -> None:
        self.kept = 0
        self._last: list[tuple[Visitor, str, str]] = []

    async def write(self, session: aiohttp.ClientSession) -> None:
        """Has one plot after another kept on a new shelf, until the connection is lost."""
        try:
            visitor = await visit(session)
            while True:
                text = f"Plot {self.kept} and what it is about."
                form = {"token": visitor.token, "do": "keep", "text": text}
                headers = {"Cookie": visitor.cookie, "Accept": "application/json"}
                async with session.post("/desk", data=form, headers=headers) as answer:
                    self._last.append((visitor, (await answer.json())["plot"], text))
                self.kept += 1
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return

    async def missing(self, session: aiohttp.ClientSession) -> int:
        """How many of the texts that were kept before the server was killed are not there."""
        last, self._last = self._last, []
        missing = 0
        for visitor, plot, text in last:
            async with session.get(f"/shelf/{plot}/plot.txt", headers={"Cookie": visitor.cookie}) as answer:
                missing += text not in await answer.text()
        return missing
