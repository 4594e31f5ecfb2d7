//! Values of flags that are more than a number or a word, and how they are read.

use std::path::PathBuf;
use std::str::FromStr;

use stockpot_core::PersonName;
use stockpot_jobs::person::ConsentFrom;

/// Where consent comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consent {
    /// The user's own face.
    Own,
    /// Nobody's face.
    Synthetic,
    /// A file in which the person agrees.
    File(PathBuf),
}

impl From<Consent> for ConsentFrom {
    fn from(consent: Consent) -> Self {
        match consent {
            Consent::Own => Self::OwnFace,
            Consent::Synthetic => Self::Synthetic,
            Consent::File(path) => Self::File(path),
        }
    }
}

impl FromStr for Consent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("say `self`, `synthetic` or a file".to_owned()),
            "self" => Ok(Self::Own),
            "synthetic" => Ok(Self::Synthetic),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

/// What a run leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// The encoder: only the decoders learn, and everybody else's stay as good as they are.
    Encoder,
    /// The decoder of a person.
    Person(PersonName),
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "encoder" {
            return Ok(Self::Encoder);
        }
        let person = text
            .parse()
            .map_err(|e| format!("say `encoder` or a person: {e}"))?;
        Ok(Self::Person(person))
    }
}

/// Faces of each person in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchSize {
    /// To be found.
    Auto,
    /// So many.
    Faces(usize),
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(faces @ 1..=1024)) => Ok(Self::Faces(faces)),
            _ => Err("say `auto` or a number from 1 to 1024".to_owned()),
        }
    }
}

/// Frames `first..=last`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FromStr for FrameRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "say the first and the last frame, such as 0-99".to_owned();
        let (first, last) = text.split_once('-').ok_or_else(wanted)?;
        let first = first.trim().parse().map_err(|_| wanted())?;
        let last = last.trim().parse().map_err(|_| wanted())?;
        if first > last {
            return Err(format!(
                "the first frame, {first}, comes after the last, {last}"
            ));
        }
        Ok(Self { first, last })
    }
}

/// `name=value`; the value is a number, `true`, `false`, or else a word.
pub(super) fn setting(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a name and a value are wanted, such as learning_rate=5e-4")?;
    let value = match serde_json::from_str(value) {
        Ok(plain @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => plain,
        _ => serde_json::Value::String(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}

pub(super) fn positive<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value.into().is_finite() && value.into() > 0.0 => Ok(value),
        _ => Err("a number above 0 is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_or_refused() {
        let range = |first, last| Ok(FrameRange { first, last });
        assert_eq!("0-99".parse(), range(0, 99));
        assert_eq!("7 - 7".parse(), range(7, 7));
        for bad in [
            "",
            "5",
            "9-3",
            "a-b",
            "-3",
            "3-",
            "1-2-3",
            "1-99999999999999999999",
        ] {
            assert!(bad.parse::<FrameRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_encoder_or_a_person_is_frozen() {
        assert_eq!("encoder".parse(), Ok(Freeze::Encoder));
        let anna = "anna".parse().unwrap();
        assert_eq!("anna".parse(), Ok(Freeze::Person(anna)));
        for bad in ["", "a b", "../anna"] {
            assert!(bad.parse::<Freeze>().is_err(), "{bad}");
        }
    }

    #[test]
    fn batches_are_numbers_or_found() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert_eq!("16".parse(), Ok(BatchSize::Faces(16)));
        for bad in ["0", "1025", "-1", "many", ""] {
            assert!(bad.parse::<BatchSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn minutes_are_positive_numbers() {
        assert_eq!(positive::<f64>("0.5"), Ok(0.5));
        for bad in ["0", "-1", "inf", "nan", "ten", ""] {
            assert!(positive::<f32>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_numbers_truths_or_words() {
        let read = |text| setting(text).map(|(name, value)| (name, value.to_string()));
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(read("a=5e-4"), pair("a", "0.0005"));
        assert_eq!(read("a=true"), pair("a", "true"));
        assert_eq!(read("a=cosine"), pair("a", "\"cosine\""));
        assert_eq!(read("a="), pair("a", "\"\""));
        assert_eq!(read("a=[1]"), pair("a", "\"[1]\""));
        assert!(setting("a").is_err());
        assert!(setting("=1").is_err());
    }

    #[test]
    fn consent_names_itself_or_a_file() {
        assert_eq!("self".parse(), Ok(Consent::Own));
        assert_eq!("synthetic".parse(), Ok(Consent::Synthetic));
        assert_eq!("./self".parse(), Ok(Consent::File("./self".into())));
        assert!("".parse::<Consent>().is_err());
    }
}
