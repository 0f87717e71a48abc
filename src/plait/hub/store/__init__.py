"""What outlives the process: SQLite in WAL mode, one writer with group commit."""
