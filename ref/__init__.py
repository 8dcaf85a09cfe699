"""The same methods as torch's documentation would write them, differentiated by autograd."""
