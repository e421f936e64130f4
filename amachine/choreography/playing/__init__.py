"""Choreographies while they are played: tables and machines, players and stages, losses and recoveries."""
