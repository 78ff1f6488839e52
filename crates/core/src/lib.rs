//! The words of Modelkeep and the ports between its parts.

pub mod sha256;
