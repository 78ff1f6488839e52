//! What a metric must be: `f1>0.9`.

use std::{fmt, str::FromStr};

/// A comparison of a metric with a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// The metric.
    pub(crate) metric: String,
    comparison: Comparison,
    number: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    More,
}

/// The signs, longer ones before those that they begin with.
const SIGNS: [(&str, Comparison); 7] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::More),
    ("=", Comparison::Equal),
];

impl Condition {
    /// Whether it is true of a value.
    pub(crate) fn is_true_of(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Less => value < self.number,
            Comparison::AtMost => value <= self.number,
            Comparison::Equal => value == self.number,
            Comparison::NotEqual => value != self.number,
            Comparison::AtLeast => value >= self.number,
            Comparison::More => value > self.number,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS
            .iter()
            .find(|(_, comparison)| *comparison == self.comparison);
        let (sign, _) = sign.expect("every comparison has a sign");
        write!(f, "{}{sign}{}", self.metric, self.number)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write a metric, one of < <= = != >= > and a number: f1>0.9".to_owned();
        let at = text.find(['<', '>', '=', '!']).ok_or_else(wrong)?;
        let (metric, rest) = text.split_at(at);
        let sign = SIGNS
            .iter()
            .find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
        let (number, comparison) = sign.ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if metric.trim().is_empty() || !number.is_finite() {
            return Err(wrong());
        }
        Ok(Self {
            metric: metric.trim().to_owned(),
            comparison,
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_metric_a_sign_and_a_number() {
        for (text, below, at, above) in [
            ("f1>0.5", false, false, true),
            ("f1 >= 0.5", false, true, true),
            ("f1<0.5", true, false, false),
            ("f1<=0.5", true, true, false),
            ("f1=0.5", false, true, false),
            ("f1==0.5", false, true, false),
            ("f1!=0.5", true, false, true),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.metric, "f1");
            let found = [0.25, 0.5, 0.75].map(|value| condition.is_true_of(value));
            assert_eq!(found, [below, at, above], "{text}");
        }
        for wrong in [
            "", "f1", ">0.5", "f1>", "f1>high", "f1>NaN", "f1>inf", "f1!0.5", "f1=>0.5",
        ] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}
