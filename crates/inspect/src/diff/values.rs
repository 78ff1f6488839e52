//! How far the values of tensors have moved.

use std::collections::HashMap;

use modelkeep_core::ByteRange;
use serde::Serialize;

use super::TensorChanges;
use crate::{Bytes, Files, Limits, Survey, SurveyError};

/// Bytes that are read at once, of each of the two models.
const PIECE: u64 = 1 << 20;

/// How far a tensor is from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Length of the difference over the length of what it was; absent where that has none.
    pub relative_l2: Option<f64>,
    /// Cosine of the angle between the two; absent where one of them has no length.
    pub cosine: Option<f64>,
}

impl TensorChanges {
    /// Reads the tensors that have other values in the same shape and type, and says how far they have moved. Types of
    /// blocks and whole numbers are left out. Both tensors are read once, a piece at a time; what is on a registry is
    /// fetched.
    ///
    /// # Errors
    /// [`SurveyError`] when bytes of a model cannot be had.
    pub fn measure(&mut self, from: &dyn Files, to: &dyn Files, limits: &Limits) -> Result<(), SurveyError> {
        let (old, new) = (Places::new(from, limits)?, Places::new(to, limits)?);
        for change in self.list.iter_mut().filter(|change| change.from == change.to) {
            let Some(form) = &change.to else {
                continue;
            };
            let (Some(number), Some(was), Some(is)) = (
                Number::of(&form.dtype),
                old.find(&change.from_file, &change.name),
                new.find(&change.file, &change.name),
            ) else {
                continue;
            };
            change.distance = Some(distance(number, &old.open(was)?, &new.open(is)?)?);
        }
        Ok(())
    }
}

/// Where the tensors of a model are.
struct Places<'a> {
    files: &'a dyn Files,
    list: Vec<(String, u64)>,
    places: HashMap<(String, String), (usize, ByteRange)>,
}

impl<'a> Places<'a> {
    fn new(files: &'a dyn Files, limits: &Limits) -> Result<Self, SurveyError> {
        Ok(Self {
            places: Survey::new(files, limits)?.places(),
            list: files.list(),
            files,
        })
    }

    fn find(&self, file: &str, name: &str) -> Option<(usize, ByteRange)> {
        self.places.get(&(file.to_owned(), name.to_owned())).copied()
    }

    fn open(&self, (file, range): (usize, ByteRange)) -> Result<Run<'a>, SurveyError> {
        let path = self.list[file].0.clone();
        match self.files.open(file) {
            Ok(bytes) => Ok(Run { path, bytes, range }),
            Err(source) => Err(SurveyError { path, source }),
        }
    }
}

/// The bytes of a tensor.
struct Run<'a> {
    path: String,
    bytes: Box<dyn Bytes + 'a>,
    range: ByteRange,
}

impl Run<'_> {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SurveyError> {
        let read = self.bytes.read_at(self.range.offset + offset, into);
        read.map_err(|source| SurveyError {
            path: self.path.clone(),
            source,
        })
    }
}

/// Types whose elements are numbers with a sign and an exponent.
#[derive(Clone, Copy)]
enum Number {
    F64,
    F32,
    F16,
    Bf16,
}

impl Number {
    fn of(dtype: &str) -> Option<Self> {
        Some(match dtype {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            _ => return None,
        })
    }

    fn width(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn value(self, raw: &[u8]) -> f64 {
        let mut bytes = [0; 8];
        bytes[..raw.len()].copy_from_slice(raw);
        let bits = u64::from_le_bytes(bytes);
        match self {
            Self::F64 => f64::from_bits(bits),
            Self::F32 => f32::from_bits(bits as u32).into(),
            Self::Bf16 => f32::from_bits((bits as u32) << 16).into(),
            Self::F16 => half(bits as u16),
        }
    }
}

/// A number of IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let size = match bits >> 10 & 0x1f {
        0 => fraction / f64::from(1 << 24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * f64::from(exponent).exp2() / f64::from(1 << 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

fn distance(number: Number, was: &Run<'_>, is: &Run<'_>) -> Result<Distance, SurveyError> {
    let (mut difference, mut product, mut old, mut new) = (0.0, 0.0, 0.0, 0.0);
    let length = was.range.length.min(is.range.length);
    let room = PIECE.min(length) as usize;
    let (mut a, mut b) = (vec![0; room], vec![0; room]);
    let mut at = 0;
    while at < length {
        let now = PIECE.min(length - at) as usize;
        was.read(at, &mut a[..now])?;
        is.read(at, &mut b[..now])?;
        let width = number.width();
        for (a, b) in a[..now].chunks_exact(width).zip(b[..now].chunks_exact(width)) {
            let (a, b) = (number.value(a), number.value(b));
            difference += (b - a) * (b - a);
            product += a * b;
            old += a * a;
            new += b * b;
        }
        at += now as u64;
    }
    // JSON has no number for what is not finite.
    let finite = |value: f64| value.is_finite().then_some(value);
    Ok(Distance {
        relative_l2: finite((difference / old).sqrt()),
        cosine: finite(product / (old.sqrt() * new.sqrt())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_have_their_values() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_953_125),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x7bff, 65_504.0),
            (0x7c00, f64::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
        assert_eq!(Number::Bf16.value(&[0x80, 0x3f]), 1.0);
    }

    #[test]
    fn distances_are_those_of_vectors() {
        let run = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Run {
                path: String::new(),
                range: ByteRange {
                    offset: 0,
                    length: bytes.len() as u64,
                },
                bytes: Box::new(bytes),
            }
        };
        let measure = |a: &[f32], b: &[f32]| distance(Number::F32, &run(a), &run(b)).unwrap();
        let moved = measure(&[3.0, 4.0], &[3.0, 4.5]);
        assert!((moved.relative_l2.unwrap() - 0.1).abs() < 1e-12);
        let turned = measure(&[1.0, 0.0], &[0.0, 2.0]);
        assert_eq!(
            (turned.relative_l2, turned.cosine),
            (Some(5.0_f64.sqrt()), Some(0.0))
        );
        let many: Vec<f32> = (0..700_000_usize).map(|n| (n % 100) as f32).collect();
        let twice: Vec<f32> = many.iter().map(|value| value * 2.0).collect();
        let far = measure(&many, &twice);
        assert!((far.relative_l2.unwrap() - 1.0).abs() < 1e-12 && (far.cosine.unwrap() - 1.0).abs() < 1e-12);
        for nothing in [
            measure(&[0.0], &[1.0]),
            measure(&[f32::NAN], &[1.0]),
            measure(&[], &[]),
        ] {
            assert_eq!(
                nothing,
                Distance {
                    relative_l2: None,
                    cosine: None
                }
            );
        }
    }
}
