//! One printed latency: a number, infinity, or nothing that may be said.

use crate::units::show_ns;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A latency in ns. In JSON a number, `"inf"`, or null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Measured.
    Ns(f64),
    /// Falls among the lost copies.
    Lost,
    /// Too few messages carry it.
    Unsupported,
}

impl Figure {
    /// A measured value, or nothing.
    pub fn of(ns: Option<u64>) -> Self {
        ns.map_or(Self::Unsupported, |ns| Self::Ns(ns as f64))
    }

    /// The number, if it is one.
    pub fn ns(&self) -> Option<f64> {
        match self {
            Self::Ns(ns) => Some(*ns),
            _ => None,
        }
    }
}

impl From<f64> for Figure {
    fn from(ns: f64) -> Self {
        if ns.is_finite() { Self::Ns(ns) } else { Self::Lost }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ns(ns) => out.pad(&show_ns(*ns)),
            Self::Lost => out.pad("lost"),
            Self::Unsupported => out.pad("-"),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ns(ns) => serializer.serialize_f64(*ns),
            Self::Lost => serializer.serialize_str("inf"),
            Self::Unsupported => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Saved {
            Number(f64),
            Word(String),
        }
        match Option::<Saved>::deserialize(deserializer)? {
            Some(Saved::Number(ns)) => Ok(Self::Ns(ns)),
            Some(Saved::Word(word)) if word == "inf" => Ok(Self::Lost),
            Some(Saved::Word(word)) => Err(serde::de::Error::custom(format!("`{word}` is no latency"))),
            None => Ok(Self::Unsupported),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_json() {
        let figures = [Figure::Ns(1500.0), Figure::Lost, Figure::Unsupported];
        let json = serde_json::to_string(&figures).unwrap();
        assert_eq!(json, r#"[1500.0,"inf",null]"#);
        assert_eq!(serde_json::from_str::<[Figure; 3]>(&json).unwrap(), figures);
    }
}
