"""The ground floor: errors, logging, checks of arguments, and what other packages add."""
