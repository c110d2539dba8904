"""An Axxon One export server to try everything against."""
