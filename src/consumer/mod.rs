//! Consumer groups: read, retry, dead-letter, inbox.
