"""A mosquitto on a free port of the loopback, for the benchmarks that compare with MQTT."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITHIN = 10.0


def there() -> bool:
    """Return whether mosquitto is installed."""
    return shutil.which("mosquitto") is not None


@contextlib.contextmanager
def broker(folder: Path, *lines: str) -> Iterator[int]:
    """Run it; yield its port.

    Args:
        folder: where its configuration is written.
        lines: more of that, such as `certfile …`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    settings = (f"listener {port} 127.0.0.1", "allow_anonymous true", "user root", *lines)
    (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
    process = subprocess.Popen(["mosquitto", "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        late = time.monotonic() + WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > late:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()
