"""The tests: real servers on the loopback, a set clock, and a world that reads like the story it tells."""
