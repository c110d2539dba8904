"""What a package holds besides the code: manual pages, completions, and how Debian installs it all."""
