"""Results as bytes, for whoever asks: streams, the cache, one fetch for all. Knows nothing of a mount."""
