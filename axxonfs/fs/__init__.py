"""The live mount."""
