//! What the targets share, and share with `tests/suite/properties.rs`.

#[path = "../../tests/attack/mod.rs"]
pub mod attack;
#[path = "../../tests/common/mod.rs"]
pub mod common;
