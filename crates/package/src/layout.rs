//! Which file lies in which layer, and where: a pure function of paths, sizes and limits.

use std::collections::BTreeSet;

use modelkeep_core::{Digest, Limits, ModelPath, sha256::Sha256};

use crate::{
    image::ImagePath,
    scan::{FileMode, ModelFile},
    tar,
};

/// Files from this size on have a layer of their own.
pub const LARGE: u64 = 8 << 20;
/// Most layers that the other files share.
pub const SMALL_LAYERS: usize = 4;
/// Small files are not spread over several layers before they have this many bytes.
pub const SMALL_CUT: u64 = 256 << 20;

/// One layer, before anything of it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    form: Form,
    members: Vec<Member>,
    size: u64,
}

/// What lies around the files of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// An archive, in which the files lie below `image_path`.
    Tar {
        image_path: ImagePath,
        directories: Vec<String>,
    },
    /// Nothing: the layer is its one file.
    Raw,
}

/// A file in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which of the files that were laid out.
    pub file: usize,
    /// Where its tar header begins, if it has one.
    pub header_offset: u64,
    /// Where its first byte lies.
    pub data_offset: u64,
}

/// Why files cannot be laid out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// A layer that the target does not take.
    #[error("the layer with {path} would have {size} bytes, and the target takes {most} at most")]
    LayerTooLarge {
        /// The largest file of the layer.
        path: ModelPath,
        /// Size of the layer in bytes.
        size: u64,
        /// The largest layer of the target, in bytes.
        most: u64,
    },
}

impl LayerPlan {
    fn new(files: &[ModelFile], members: &[usize], image_path: &ImagePath) -> Self {
        let mut directories: BTreeSet<String> = image_path.directories().map(str::to_owned).collect();
        for parent in members.iter().flat_map(|&file| files[file].path.parents()) {
            directories.insert(image_path.member(parent));
        }
        let directories: Vec<String> = directories.into_iter().collect();
        let mut at: u64 = directories
            .iter()
            .map(|name| tar::directory(name).len() as u64)
            .sum();
        let members = members
            .iter()
            .map(|&file| {
                let ModelFile {
                    path, stamp, mode, ..
                } = &files[file];
                let head = tar::file(&image_path.member(path.as_str()), *mode, stamp.size, at);
                let header_offset = at;
                let data_offset = at.saturating_add(head.len() as u64);
                at = data_offset
                    .saturating_add(stamp.size)
                    .saturating_add(tar::tail(stamp.size).len() as u64);
                Member {
                    file,
                    header_offset,
                    data_offset,
                }
            })
            .collect();
        Self {
            form: Form::Tar {
                image_path: image_path.clone(),
                directories,
            },
            members,
            size: at.saturating_add(tar::END.len() as u64),
        }
    }

    fn raw(file: usize, size: u64) -> Self {
        Self {
            form: Form::Raw,
            members: vec![Member {
                file,
                header_offset: 0,
                data_offset: 0,
            }],
            size,
        }
    }

    /// The files, in the order in which they lie in the layer.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Size of the layer in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where in the image the model lies; `None` for a layer that is no archive.
    #[must_use]
    pub fn image_path(&self) -> Option<&ImagePath> {
        match &self.form {
            Form::Tar { image_path, .. } => Some(image_path),
            Form::Raw => None,
        }
    }

    /// Whether the layer is a file as it is, and so has the digest of the file.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.form == Form::Raw
    }

    /// The headers of the directories, with which the layer begins.
    pub(crate) fn head(&self) -> Vec<u8> {
        match &self.form {
            Form::Tar { directories, .. } => {
                directories.iter().flat_map(|name| tar::directory(name)).collect()
            }
            Form::Raw => Vec::new(),
        }
    }

    /// What lies before the bytes of `member`, which is `file`.
    pub(crate) fn before(&self, member: &Member, file: &ModelFile) -> Vec<u8> {
        match &self.form {
            Form::Tar { image_path, .. } => {
                let name = image_path.member(file.path.as_str());
                tar::file(&name, file.mode, file.stamp.size, member.header_offset)
            }
            Form::Raw => Vec::new(),
        }
    }

    /// What follows the bytes of a file of `size` bytes.
    pub(crate) fn after(&self, size: u64) -> &'static [u8] {
        match self.form {
            Form::Tar { .. } => tar::tail(size),
            Form::Raw => &[],
        }
    }

    /// With what the layer ends.
    pub(crate) fn end(&self) -> &'static [u8] {
        match self.form {
            Form::Tar { .. } => &tar::END,
            Form::Raw => &[],
        }
    }

    /// What an archive is made of, as one digest: layers with the same recipe are the same bytes. `digest_of` gives
    /// the digest of each file; without one of them there is no recipe, and none for a layer that is no archive.
    pub fn recipe(
        &self,
        files: &[ModelFile],
        mut digest_of: impl FnMut(usize) -> Option<Digest>,
    ) -> Option<Digest> {
        let mut hasher = Sha256::new();
        hasher.update(format!("layer {} {}\n", tar::FORMAT, self.image_path()?).as_bytes());
        for member in &self.members {
            let ModelFile {
                path, stamp, mode, ..
            } = &files[member.file];
            let digest = digest_of(member.file)?;
            // Said of executable files only: the recipes of layers without any are what they always were.
            let mode = match mode {
                FileMode::Plain => "",
                FileMode::Executable => "x ",
            };
            hasher.update(format!("{mode}{} {} {path}\n", digest.hex(), stamp.size).as_bytes());
        }
        Some(Digest::from_sha256(hasher.finish()))
    }
}

/// Lays `files`, which are in order of their paths, out in layers.
///
/// Files of [`LARGE`] bytes and more have a layer each, so that one that is unchanged keeps its layer whatever else
/// changes; when there are more of them than the target has layers, neighbours share one. The others lie together in
/// at most [`SMALL_LAYERS`] layers, cut where one has [`SMALL_CUT`] bytes or a fourth of them all. The small files'
/// layers come first, and within both kinds the order is that of the paths.
///
/// # Errors
/// [`LayoutError::LayerTooLarge`].
pub fn layout(
    files: &[ModelFile],
    image_path: &ImagePath,
    limits: &Limits,
) -> Result<Vec<LayerPlan>, LayoutError> {
    groups(files, limits.layers)
        .iter()
        .map(|members| {
            let plan = LayerPlan::new(files, members, image_path);
            if plan.size <= limits.layer_bytes {
                return Ok(plan);
            }
            let largest = members.iter().max_by_key(|&&file| files[file].stamp.size);
            Err(LayoutError::LayerTooLarge {
                path: files[*largest.expect("a layer has a file")].path.clone(),
                size: plan.size,
                most: limits.layer_bytes,
            })
        })
        .collect()
}

/// Lays each of `files` out as a layer of its own, without an archive around it, in their order.
///
/// # Errors
/// [`LayoutError::LayerTooLarge`].
pub fn layout_raw(files: &[ModelFile], limits: &Limits) -> Result<Vec<LayerPlan>, LayoutError> {
    let plan = |(place, file): (usize, &ModelFile)| {
        let size = file.stamp.size;
        if size > limits.layer_bytes {
            return Err(LayoutError::LayerTooLarge {
                path: file.path.clone(),
                size,
                most: limits.layer_bytes,
            });
        }
        Ok(LayerPlan::raw(place, size))
    };
    files.iter().enumerate().map(plan).collect()
}

fn groups(files: &[ModelFile], most: usize) -> Vec<Vec<usize>> {
    if most <= 1 {
        let all: Vec<usize> = (0..files.len()).collect();
        return if all.is_empty() { Vec::new() } else { vec![all] };
    }
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..files.len()).partition(|&file| files[file].stamp.size >= LARGE);
    let room = if large.is_empty() { most } else { most - 1 };
    let mut groups = small_groups(files, &small, room.min(SMALL_LAYERS));
    let layers = large.len().min(most - groups.len());
    for n in 0..layers {
        groups.push(large[n * large.len() / layers..(n + 1) * large.len() / layers].to_vec());
    }
    groups
}

fn small_groups(files: &[ModelFile], small: &[usize], most: usize) -> Vec<Vec<usize>> {
    let total: u64 = small.iter().map(|&file| files[file].stamp.size).sum();
    let cut = SMALL_CUT.max(total.div_ceil(most as u64));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut current = None;
    let mut before = 0;
    for &file in small {
        // By where a file begins, so that there are never more groups than `most`.
        let number = (before / cut).min(most as u64 - 1);
        if current != Some(number) {
            groups.push(Vec::new());
            current = Some(number);
        }
        if let Some(group) = groups.last_mut() {
            group.push(file);
        }
        before += files[file].stamp.size;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model_file;

    fn plan(sizes: &[u64], limits: &Limits) -> Vec<LayerPlan> {
        let files: Vec<ModelFile> = sizes
            .iter()
            .enumerate()
            .map(|(n, &size)| model_file(&format!("d/{n:04}"), size))
            .collect();
        layout(&files, &ImagePath::default(), limits).unwrap()
    }

    fn shape(plans: &[LayerPlan]) -> Vec<Vec<usize>> {
        let files = |plan: &LayerPlan| plan.members().iter().map(|member| member.file).collect();
        plans.iter().map(files).collect()
    }

    #[test]
    fn large_files_are_alone_and_small_ones_together() {
        let plans = plan(&[1, LARGE, 2, LARGE + 1, 3], &Limits::default());
        assert_eq!(shape(&plans), [vec![0, 2, 4], vec![1], vec![3]]);
        assert_eq!(plans[1].members()[0].data_offset % 4096, 0);
    }

    #[test]
    fn there_are_never_more_layers_than_the_target_takes() {
        let many = vec![LARGE; 1000];
        let mixed: Vec<u64> = (0..1000)
            .map(|n| if n % 2 == 0 { LARGE } else { LARGE - 1 })
            .collect();
        for sizes in [&many, &mixed] {
            for layers in [1, 2, 3, 4, 5, 6, 99, 100, 2000] {
                let plans = plan(
                    sizes,
                    &Limits {
                        layers,
                        ..Limits::default()
                    },
                );
                assert!(plans.len() <= layers);
                let mut all: Vec<usize> = shape(&plans).concat();
                all.sort_unstable();
                assert_eq!(all, (0..1000).collect::<Vec<_>>());
            }
        }
        let lengths: Vec<usize> = shape(&plan(&many, &Limits::default()))
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(lengths, vec![10; 100]);
    }

    #[test]
    fn small_files_are_cut_into_four_layers_at_most() {
        assert_eq!(plan(&[LARGE - 1; 30], &Limits::default()).len(), 1);
        assert_eq!(plan(&[LARGE - 1; 50], &Limits::default()).len(), 2);
        assert_eq!(plan(&[LARGE - 1; 5000], &Limits::default()).len(), 4);
    }

    #[test]
    fn a_layer_that_the_target_does_not_take_is_named() {
        let limits = Limits {
            layer_bytes: LARGE + 4096,
            ..Limits::default()
        };
        let files = [model_file("small", 1), model_file("large", LARGE)];
        assert!(matches!(
            layout(&files, &ImagePath::default(), &limits),
            Err(LayoutError::LayerTooLarge { path, .. }) if path.as_str() == "large"
        ));
    }

    #[test]
    fn a_raw_layer_is_its_file() {
        let files = [model_file("a", 0), model_file("b/c", LARGE)];
        let plans = layout_raw(&files, &Limits::default()).unwrap();
        assert_eq!(shape(&plans), [vec![0], vec![1]]);
        assert_eq!(plans.iter().map(LayerPlan::size).collect::<Vec<_>>(), [0, LARGE]);
        assert!(plans[1].is_raw() && plans[1].members()[0].data_offset == 0);
        let limits = Limits {
            layer_bytes: LARGE - 1,
            ..Limits::default()
        };
        assert!(matches!(
            layout_raw(&files, &limits),
            Err(LayoutError::LayerTooLarge { path, .. }) if path.as_str() == "b/c"
        ));
    }

    #[test]
    fn the_recipe_tells_layers_apart() {
        let files = [model_file("a", 1), model_file("b", 1)];
        let other = [model_file("a", 1), model_file("c", 1)];
        let recipe = |files: &[ModelFile], path: &str, content: &[u8]| {
            let plans = layout(files, &path.parse().unwrap(), &Limits::default()).unwrap();
            plans[0].recipe(files, |_| Some(Digest::of(content))).unwrap()
        };
        let one = recipe(&files, "/models", b"x");
        assert_eq!(one, recipe(&files, "/models", b"x"));
        assert_ne!(one, recipe(&files, "/models", b"y"));
        assert_ne!(one, recipe(&files, "/opt", b"x"));
        assert_ne!(one, recipe(&other, "/models", b"x"));
        let [mut executable, b] = files.clone();
        executable.mode = FileMode::Executable;
        assert_ne!(one, recipe(&[executable, b], "/models", b"x"));
        let plans = layout(&files, &ImagePath::default(), &Limits::default()).unwrap();
        assert_eq!(plans[0].recipe(&files, |_| None), None);
    }
}
