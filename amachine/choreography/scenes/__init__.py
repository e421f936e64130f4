"""Choreographies as classes: one for each scene, with types as the script and methods as what is done."""
