"""Where it runs. Every probe gives a value or None, and never stops a run."""
