"""Choreographies as functions: ordinary typed Python that is read, and never run."""
