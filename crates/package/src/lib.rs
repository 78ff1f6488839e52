//! A model directory as layers of an OCI image, and back.
//!
//! Pushing: [`scan`](scan::scan) finds the files of a directory, [`layout`](layout::layout) decides which layer holds
//! which file and where each byte will lie, [`pack_layer`](pack::pack_layer) reads every file once and writes its
//! layer, and [`image::build`] makes the image config and the manifest. [`cache::Cache`] remembers what files and
//! layers came to, so that the next push reads only what changed.
//!
//! Pulling: [`unpack`](unpack::unpack) writes a directory from the contents list of a version, byte ranges of layers
//! at a time. Of versions that others made, [`foreign`] says what their layers hold; archives without a list, and
//! layers that are compressed, are read whole.
//!
//! [`oci_layout`] and [`docker_archive`] are the forms in which other tools keep images, read and written; a
//! [`base::Base`] is an image that a model is laid on. [`modelpack`] makes an artifact of a model instead of an image.
//!
//! Layers, image config and manifest depend on the files and on what the caller declares, and on nothing else: no
//! clock, no owner, no order of a directory. `docs/reference/image.md` describes what comes out, and
//! `docs/reference/contents.md` the list by which single files are found again.
//!
//! ```
//! use modelkeep_core::Limits;
//! use modelkeep_package::{image, layout, pack, scan};
//!
//! let directory = tempfile::tempdir()?;
//! std::fs::write(directory.path().join("config.json"), "{}")?;
//! let found = scan::scan(directory.path(), &scan::ScanOptions::default())?;
//! let path = image::ImagePath::default();
//! let plans = layout::layout(&found.files, &path, &Limits::default())?;
//! let packed = pack::pack_layer(&found.files, &plans[0], None, &mut |_: u64| {})?;
//! assert_eq!(packed.hashed.size(), plans[0].size());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod archive;
pub mod base;
pub mod cache;
pub mod card;
pub mod docker_archive;
pub mod foreign;
pub mod image;
pub mod layout;
pub mod modelpack;
pub mod oci_layout;
pub mod pack;
pub mod scan;
mod stream;
mod tar;
pub mod unpack;

#[cfg(test)]
mod testing;
