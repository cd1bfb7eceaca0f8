"""What is asked for: the configuration, its cells, where their results lie."""
