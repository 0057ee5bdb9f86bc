//! Answers as text: tree, table, JSON, YAML. Colours are written always; the stream decides whether they stay.

mod diff;
mod diff_lines;
mod endpoints;
mod findings;
mod frame;
mod graph;
mod json;
mod marks;
mod nodes;
mod pages;
mod palette;
mod phrase;
mod prometheus;
mod remark;
mod rows;
mod service;
mod table;
mod text;
mod trace;
mod tree;

pub use diff::diff;
pub use findings::{Surroundings, findings, findings_table};
pub use frame::{Drawn, Frame, Head};
pub use graph::Graph;
pub use json::{json, json_line, json_lines, yaml};
pub use marks::Marks;
pub use nodes::{diff_nodes, nodes};
pub use pages::{codes, pages};
pub use palette::{ERROR, HINT, NOTE, STRONG};
pub use prometheus::prometheus;
pub use service::{View, footer, origin, services};
pub use table::{endpoints, list};
pub use text::{clean, unstyled};
pub use trace::Story;
