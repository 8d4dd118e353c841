"""The words and the wires: core types, journal, stream, codec and settings, which every other room builds on."""
