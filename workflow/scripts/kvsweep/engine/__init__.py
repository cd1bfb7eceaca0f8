"""All knowledge of llama.cpp: its source, builds, command lines and every form of its output."""
