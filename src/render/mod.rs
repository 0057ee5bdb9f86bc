//! Answers as text: tree, table, JSON, YAML. Colours are written always; the stream decides whether they stay.

mod json;
mod palette;
mod phrase;
mod remark;
mod rows;
mod service;
mod table;
mod text;
mod tree;

pub use json::{json, yaml};
pub use palette::{ERROR, HINT, NOTE, STRONG};
pub use service::{View, footer, services};
pub use table::{endpoints, list};
pub use text::clean;
