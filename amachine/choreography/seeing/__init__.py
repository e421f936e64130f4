"""Choreographies as people see them: drawings, words, sequences, and why nothing moves."""
