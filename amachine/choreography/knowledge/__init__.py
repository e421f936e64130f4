"""What roles see and know, as the rooms of `check`, `project` and `inform` need it. Nothing here is for users."""
