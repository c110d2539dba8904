"""Pure decisions: no I/O, no clock, no trio, no logging."""
