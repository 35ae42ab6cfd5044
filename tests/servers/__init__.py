"""Real servers on loopback for the tests, and a proxy that spoils what goes between."""
