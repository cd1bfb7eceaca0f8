"""Models and texts, brought here and described."""
