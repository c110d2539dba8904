"""The parts of `axxonfs export` and `axxonfs wait`."""
