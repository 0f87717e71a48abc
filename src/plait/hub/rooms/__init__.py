"""What the hub does, one file a concern. Rooms know `hub.contracts` and `wire`, never each other."""
