"""Claims of the lecture, measured: each experiment yields what it is doing, and returns what came out."""
