"""What would stop a mount here, and what a server does where nobody knows it."""
