"""The `amachine` command, and what it shows."""
