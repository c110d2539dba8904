"""Measures the read path side by side with what else there is, on the same bytes in one run."""
