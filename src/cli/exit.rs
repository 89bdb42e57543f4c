//! Exit codes beyond 0 and 1 (`sysexits.h`).

use outflow_core::fault::FaultKind;

/// A server cannot be reached (`EX_UNAVAILABLE`).
pub(super) const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration must be mended (`EX_CONFIG`).
pub(super) const EXIT_CONFIGURATION: u8 = 78;

/// The exit code of a command that ends with a fault of this kind.
pub(super) fn code_of(kind: FaultKind) -> u8 {
    match kind {
        FaultKind::Configuration
        | FaultKind::Refused
        | FaultKind::ReadOnly
        | FaultKind::Insecure
        | FaultKind::Unfit => EXIT_CONFIGURATION,
        FaultKind::Unavailable | FaultKind::NotReady | FaultKind::Unreachable => EXIT_UNAVAILABLE,
        FaultKind::Failed => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may pass by itself must not stop a service manager from starting again.
    #[test]
    fn what_may_pass_never_ends_as_a_configuration_to_mend() {
        for kind in FaultKind::ALL {
            let code = code_of(kind);
            assert_ne!(code, 0, "{kind}");
            assert_eq!(code == EXIT_UNAVAILABLE, kind.may_pass(), "{kind}");
        }
        assert_eq!(code_of(FaultKind::Failed), 1);
    }
}
