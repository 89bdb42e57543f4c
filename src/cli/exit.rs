//! Exit codes beyond 0 and 1 (`sysexits.h`).

/// A server cannot be reached (`EX_UNAVAILABLE`).
pub(super) const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration must be mended (`EX_CONFIG`).
pub(super) const EXIT_CONFIGURATION: u8 = 78;
