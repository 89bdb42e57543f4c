//! A setting that cannot be used.

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting {name} is {value}; expected {expected}")]
#[non_exhaustive]
pub struct BadSetting {
    /// The setting, as the builder's method is called.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What is expected.
    pub expected: String,
}
