"""One engine process, from its start to its record. Interprets nothing."""
