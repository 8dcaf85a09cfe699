"""Methods of image classification in NumPy, every derivative by hand. Nothing but NumPy is imported here."""
