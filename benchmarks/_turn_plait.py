"""Our TURN server in a process of its own, and a door for TCP. Prints its port; ends with its input."""

from __future__ import annotations

import sys

from plait import _native


def main() -> None:
    """Serve until the input ends."""
    secret, clients = sys.argv[1].encode(), int(sys.argv[2])
    server = _native.TurnServer(
        [("127.0.0.1", 0)],
        secret=secret,
        realm="plait.test",
        allow=["127.0.0.0/8"],
        max_allocations=clients,
    )
    port = server.addresses[0][1]
    door = _native.Door("127.0.0.1", port, turn=server)
    print(port, flush=True)
    sys.stdin.read()
    door.close()
    server.close()


if __name__ == "__main__":
    main()
