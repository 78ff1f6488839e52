//! Patterns for paths of a model.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use modelkeep_core::ModelPath;

/// Patterns of which one has to match. A pattern without a slash is for names in any directory, as in `.gitignore`;
/// with one it is for whole paths.
pub(crate) struct Globs(GlobSet);

impl Globs {
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let anywhere = format!("**/{pattern}");
            let pattern = if pattern.contains('/') {
                pattern.trim_start_matches('/')
            } else {
                &anywhere
            };
            set.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
        }
        Ok(Self(set.build()?))
    }

    pub(crate) fn match_path(&self, path: &ModelPath) -> bool {
        self.0.is_match(path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_for_names() {
        let matches = |pattern: &str, path: &str| {
            let globs = Globs::parse(&[pattern.to_owned()]).unwrap();
            globs.match_path(&path.parse().unwrap())
        };
        assert!(matches("*.json", "config.json"));
        assert!(matches("*.json", "1_Pooling/config.json"));
        assert!(!matches("*.json", "model.safetensors"));
        assert!(matches("1_Pooling/*", "1_Pooling/config.json"));
        assert!(!matches("1_Pooling/*", "a/1_Pooling/config.json"));
        assert!(matches("/config.json", "config.json"));
        assert!(Globs::parse(&["[".to_owned()]).is_err());
    }
}
