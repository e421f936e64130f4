"""One script for many roles: checked as a whole, and projected to one machine per role."""
