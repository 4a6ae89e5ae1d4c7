"""The face: one module per command, and one renderer."""
