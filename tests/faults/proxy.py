"""A TCP proxy that fails on command: slow, silent, or cut off by a reset, as networks between machines are (F24)."""

import asyncio
import contextlib
import socket
import struct
import threading

from tests.servers.threaded import Threaded


class Proxy(Threaded):
    """`with Proxy(port) as proxy:` listens on `proxy.port` of 127.0.0.1 and passes everything to 127.0.0.1:`port`.

    delay_s: every piece, in both directions, comes so much later. silent: nothing comes through, and nobody is told;
    what was sent meanwhile comes once the silence ends. It runs in a thread of its own.
    """

    def __init__(self, to_port: int) -> None:
        super().__init__()
        self.delay_s = 0.0
        self.silent = False
        self.port = 0
        self._to_port = to_port
        self._stranded: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()

    def reset(self) -> None:
        """RST to both ends of every connection. New ones are taken."""
        self._call(self._reset)

    def strand(self) -> None:
        """Every connection that is open now is dead from now on, and nobody is ever told. New ones work."""
        self._call(lambda: self._stranded.update(self._open))

    def _call(self, what: object) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (what(), done.set()))  # type: ignore[operator]
        assert done.wait(5)

    def _reset(self) -> None:
        for writer in list(self._open):
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it is closing already
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there}
        try:
            await asyncio.gather(self._pass(reader, writer, there), self._pass(there_reader, there, writer))
        except (
            OSError,
            asyncio.CancelledError,
        ):  # cancelled at the end alone; asyncio would log it as an error
            pass
        finally:
            for end in (writer, there):
                self._open.discard(end)
                self._stranded.discard(end)
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, here: asyncio.StreamWriter, there: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(64 * 1024):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            while self.silent or here in self._stranded:
                await asyncio.sleep(0.02)
            there.write(data)
            await there.drain()
        there.write_eof()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
