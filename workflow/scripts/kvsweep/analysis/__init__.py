"""Tables to tables of answers."""
