//! The small order domain that both companions share.
