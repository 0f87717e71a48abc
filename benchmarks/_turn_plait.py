"""Our TURN server as a process of its own. Prints its UDP port; ends with its input."""

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
    print(server.addresses[0][1], flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main()
