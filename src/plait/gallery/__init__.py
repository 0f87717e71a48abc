"""The uses, each a small device or app on the SDK, simulated where the hardware is absent."""
