"""What a model is asked: a module for each kind of task, and the server that is asked."""
