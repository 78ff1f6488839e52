//! Objects that were pickled, as scikit-learn and joblib keep models: of which class they are.

use crate::{
    Bytes, Error, Limits, Part, Reader, Result,
    inflate::{Coding, Inflated},
    pickle::{self, Structure, Trace, Value},
    torch,
};

const FORMAT: &str = "pickle";

/// What was pickled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pickled {
    /// Module and name of its class; none for plain data.
    pub class: Option<String>,
    /// The classes of the steps of a pipeline, in order.
    pub steps: Vec<String>,
    /// The version of scikit-learn that wrote it.
    pub library_version: Option<String>,
}

/// Reads the structure of a pickle, which may be compressed by zlib or gzip.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Pickled> {
    let mut reader = Reader::new(bytes, FORMAT);
    let coding = match reader.left() {
        0 | 1 => None,
        _ => match reader.array()? {
            [0x1f, 0x8b] => Some(Coding::Gzip),
            [0x78, _] => Some(Coding::Zlib),
            _ => None,
        },
    };
    let (Some(coding), Some(packed)) = (coding, Part::of(bytes, 0, bytes.size())) else {
        return structure(bytes, limits);
    };
    let inflated = Inflated::measured(packed, coding).map_err(|source| Error::Read { offset: 0, source });
    match inflated? {
        Some(inflated) => structure(&inflated, limits),
        None => Err(Error::malformed(FORMAT, 0, "it would expand too much")),
    }
}

fn structure(bytes: &dyn Bytes, limits: &Limits) -> Result<Pickled> {
    let mut trace = Trace::default();
    let structure = pickle::read(&mut Reader::new(bytes, FORMAT), &mut trace)?;
    let root = structure.root();
    let Some(call) = structure.call(root) else {
        return Ok(Pickled::default());
    };
    let text = |key| match structure.get(&call.state, key) {
        Some(Value::Text(text)) => Some(text.to_string()),
        _ => None,
    };
    Ok(Pickled {
        class: torch::class(&structure, &trace, root),
        steps: steps(&structure, &trace, &call.state, limits),
        library_version: text("_sklearn_version"),
    })
}

/// The steps of `sklearn.pipeline.Pipeline`: pairs of a name and an estimator.
fn steps(structure: &Structure, trace: &Trace, state: &Value, limits: &Limits) -> Vec<String> {
    let steps = structure
        .get(state, "steps")
        .and_then(|steps| structure.node(steps));
    let steps = steps.map_or(&[][..], |node| &node.items).iter();
    steps
        .take(limits.depth)
        .filter_map(|step| torch::class(structure, trace, structure.tuple(step)?.get(1)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_object_and_of_its_steps_is_known() {
        let bytes = b"\x80\x02csklearn.pipeline\nPipeline\n)\x81}(U\x05steps]U\x01acsklearn.svm._classes\nSVC\n)\x81\x86aU\x10_sklearn_versionU\x051.9.1ub.".to_vec();
        let pickled = read(&bytes, &Limits::default()).unwrap();
        assert_eq!(pickled.class.as_deref(), Some("sklearn.pipeline.Pipeline"));
        assert_eq!(pickled.steps, ["sklearn.svm._classes.SVC"]);
        assert_eq!(pickled.library_version.as_deref(), Some("1.9.1"));
        let old = b"ccopy_reg\n_reconstructor\n(csklearn.svm\nSVC\nc__builtin__\nobject\nNtR.".to_vec();
        assert_eq!(
            read(&old, &Limits::default()).unwrap().class.as_deref(),
            Some("sklearn.svm.SVC")
        );
        assert_eq!(
            read(&b"\x80\x02]q\0.".to_vec(), &Limits::default()).unwrap(),
            Pickled::default()
        );
    }
}
