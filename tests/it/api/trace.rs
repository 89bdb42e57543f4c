//! One trace: an order followed by its trace id through the logs of all programs.
