//! Where an image lies: a version, or one of the forms in which other tools keep images, named as skopeo names them.

use std::{fmt, path::PathBuf};

use modelkeep_core::{Reference, name::Target};
use modelkeep_package::oci_layout::Named;

use crate::{
    error::{Exit, Failure},
    settings::Settings,
    wiring,
};

/// Where an image lies, or is to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the embedded store or in a registry.
    Version(Reference),
    /// In a directory that is an OCI image layout.
    Layout { directory: PathBuf, named: Named },
    /// In an archive of `docker save`.
    Archive { file: PathBuf, name: Option<String> },
    /// In the docker engine of this machine.
    Daemon { name: String },
}

const DOCKER_HUB: &str = "docker.io";

impl Place {
    /// What `text` names.
    pub(crate) fn parse(settings: &Settings, text: &str) -> Result<Self, Failure> {
        let wrong = |form: &str| Failure::usage(format!("{text:?} must be {form}"));
        if let Some(rest) = text.strip_prefix("oci:") {
            return layout(rest).ok_or_else(|| wrong("oci:DIR, oci:DIR:NAME or oci:DIR@DIGEST"));
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let form = "docker-archive:FILE or docker-archive:FILE:NAME:TAG";
            let (file, name) = match rest.split_once(':') {
                Some((file, name)) => (file, Some(image_name(name).ok_or_else(|| wrong(form))?)),
                None => (rest, None),
            };
            return match file {
                "" => Err(wrong(form)),
                file => Ok(Self::Archive {
                    file: file.into(),
                    name,
                }),
            };
        }
        if let Some(rest) = text.strip_prefix("docker-daemon:") {
            let is_id = rest.parse::<modelkeep_core::Digest>().is_ok();
            let name = is_id.then(|| rest.to_owned()).or_else(|| image_name(rest));
            return match name {
                Some(name) => Ok(Self::Daemon { name }),
                None => Err(wrong("docker-daemon:NAME:TAG")),
            };
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            let name = |text: &str| {
                text.parse::<Reference>()
                    .map_err(|error| Failure::new(Exit::Usage, error))
            };
            let reference = match name(rest)? {
                Reference { host: None, .. } => name(&format!("{DOCKER_HUB}/{rest}"))?,
                reference => reference,
            };
            return Ok(Self::Version(reference));
        }
        let reference = settings.reference(text)?;
        Ok(Self::Version(wiring::placed(settings, reference)?))
    }
}

fn layout(rest: &str) -> Option<Place> {
    let by_digest = rest
        .rsplit_once('@')
        .and_then(|(directory, digest)| Some((directory, digest.parse().ok()?)));
    let (directory, named) = match (by_digest, rest.split_once(':')) {
        (Some((directory, digest)), _) => (directory, Named::Digest(digest)),
        (None, Some((directory, name))) if is_ref_name(name) => (directory, Named::Name(name.to_owned())),
        (None, Some(_)) => return None,
        (None, None) => (rest, Named::Only),
    };
    (!directory.is_empty()).then(|| Place::Layout {
        directory: directory.into(),
        named,
    })
}

/// The grammar of names in a layout (image-spec, `annotations.md`), and no longer than anybody wants.
fn is_ref_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/+".contains(&byte);
    bytes.len() <= 255
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|&byte| allowed(byte))
}

/// A name that docker has for an image.
fn image_name(text: &str) -> Option<String> {
    let reference: Reference = text.parse().ok()?;
    matches!(reference.target, Target::Tag(_)).then(|| text.to_owned())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(reference) => write!(f, "{reference}"),
            Self::Layout { directory, named } => {
                write!(f, "oci:{}", directory.display())?;
                match named {
                    Named::Only => Ok(()),
                    Named::Name(name) => write!(f, ":{name}"),
                    Named::Digest(digest) => write!(f, "@{digest}"),
                }
            }
            Self::Archive { file, name } => {
                write!(f, "docker-archive:{}", file.display())?;
                match name {
                    Some(name) => write!(f, ":{name}"),
                    None => Ok(()),
                }
            }
            Self::Daemon { name } => write!(f, "docker-daemon:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;

    fn parse(text: &str) -> Result<Place, Failure> {
        let global = Global {
            endpoint_url: None,
            store: Some("store".into()),
            ca: None,
            plain_http: false,
            quiet: false,
        };
        let settings = Settings::load(&global, std::path::Path::new("/"))?;
        Place::parse(&settings, text)
    }

    #[test]
    fn places_print_what_they_were_parsed_from() {
        let digest = modelkeep_core::Digest::of(b"x");
        for text in [
            "digits:1.0".to_owned(),
            "ghcr.io/team/digits:1.0".to_owned(),
            format!("localhost:5000/digits@{digest}"),
            "oci:layout".to_owned(),
            "oci:/tmp/layout:1.0".to_owned(),
            "oci:layout:ghcr.io/team/digits:1.0".to_owned(),
            format!("oci:layout@{digest}"),
            "docker-archive:image.tar".to_owned(),
            "docker-archive:/a/image.tar:ghcr.io/team/digits:1.0".to_owned(),
            "docker-daemon:digits:1.0".to_owned(),
            "docker-daemon:localhost:5000/digits:1.0".to_owned(),
            format!("docker-daemon:{digest}"),
        ] {
            assert_eq!(parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn docker_takes_its_hub_for_granted() {
        for (text, name) in [
            ("docker://busybox:1", "docker.io/busybox:1"),
            ("docker://team/app:1", "docker.io/team/app:1"),
            ("docker://ghcr.io/team/app:1", "ghcr.io/team/app:1"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "oci:",
            "oci::1.0",
            "oci:layout:",
            "oci:layout:a b",
            "docker-archive:",
            "docker-archive::a:1",
            "docker-archive:image.tar:digits",
            "docker-daemon:",
            "docker-daemon:digits",
            "docker-daemon:../images:1",
            "docker://busybox",
            "Digits:1.0",
        ] {
            let refused = parse(text).err().map(|failure| failure.exit);
            assert_eq!(refused, Some(Exit::Usage), "{text}");
        }
    }
}
