"""Real local servers for the tests, each started once and stopped for certain."""
