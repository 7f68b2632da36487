"""A live simulation that runs at its own rate in its own process, and what a user does to it."""
