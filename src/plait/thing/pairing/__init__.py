"""Things that may use one another: their permissions, their links, and how they meet without the hub."""
