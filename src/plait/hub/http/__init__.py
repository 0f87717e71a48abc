"""What the hub answers over plain HTTP: the WoT directory, REST, login, health, metrics, and the page."""
