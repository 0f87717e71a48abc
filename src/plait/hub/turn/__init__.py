"""STUN and TURN at the hub: its own server, others that share a secret with it, and credentials."""
