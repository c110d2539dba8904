"""Exports over time, for whoever runs them: started exactly once, followed, kept alive. Knows nothing of a mount."""
