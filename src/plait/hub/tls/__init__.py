"""Where the hub's certificate comes from, and how it stays good: a local authority, files, or ACME."""
