//! The internal certificate authority: its key, the leaves of the fleet and their renewal.
