"""What has to run and why, what it needs and how far it is."""
