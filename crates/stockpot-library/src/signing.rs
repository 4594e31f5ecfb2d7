//! The library's own key: it signs consent records and the log of uses.
//!
//! Ed25519 (RFC 8032). The secret half lies in `keys/library.key`, readable by its owner only, and
//! never goes into an export; the public half lies beside it and travels with whatever it signed.
//! What is signed is JSON in one fixed spelling ([`canonical`]), so that fields a reader does not know
//! are covered too. Knows nothing of consents or logs.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::disk::{Disk, ReadFailure, read_bounded};
use crate::error::{Error, Result};
use crate::layout::Layout;

/// Bytes of a key, either half.
const KEY_BYTES: usize = 32;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
/// The largest key file read: hexadecimal digits and a line feed.
const MAX_KEY_FILE_BYTES: u64 = 256;

/// The public half of a library's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// The first 12 digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }

    /// Whether `signature` (128 digits) is this key's on `value`, said in the context `what`.
    pub(crate) fn has_signed(&self, what: &str, value: &Value, signature: &str) -> bool {
        let Some(bytes) = bytes_of::<SIGNATURE_BYTES>(signature) else {
            return false;
        };
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(&message(what, value), &Signature::from_bytes(&bytes))
                .is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.short())
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        bytes_of(text)
            .map(Self)
            .ok_or_else(|| "a public key has 64 lower-case hexadecimal digits".to_owned())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Both halves of the library's key.
pub(crate) struct Keys {
    secret: SigningKey,
}

impl Keys {
    /// A new pair, of the system's random numbers.
    pub(crate) fn random() -> Result<Self> {
        let mut seed = [0; KEY_BYTES];
        getrandom::fill(&mut seed).map_err(|e| Error::NoRandomNumbers {
            reason: e.to_string(),
        })?;
        Ok(Self {
            secret: SigningKey::from_bytes(&seed),
        })
    }

    /// The library's pair; `None` if it has none yet.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if only the public half is there, [`Error::DamagedKey`], or what the
    /// machine refuses.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.secret_key();
        let Some(seed) = read_key(&path)? else {
            return match layout.public_key().exists() {
                true => Err(Error::MissingKey { path }),
                false => Ok(None),
            };
        };
        let keys = Self {
            secret: SigningKey::from_bytes(&seed),
        };
        match read_public(layout)? {
            Some(public) if public != keys.public() => Err(Error::DamagedKey {
                reason: "the two halves do not belong together",
                path: layout.public_key(),
            }),
            _ => Ok(Some(keys)),
        }
    }

    /// Stores the secret half. The public one follows once the log has begun
    /// ([`Keys::publish`]): where it is, there is a log.
    pub(crate) fn store(&self, disk: &Disk, layout: &Layout) -> Result<()> {
        disk.make_folder(&layout.keys())?;
        let text = digits(self.secret.as_bytes()) + "\n";
        disk.write_private(&layout.secret_key(), text.as_bytes())
    }

    pub(crate) fn publish(&self, disk: &Disk, layout: &Layout) -> Result<()> {
        let text = format!("{}\n", self.public());
        disk.write_whole(&layout.public_key(), text.as_bytes())
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.secret.verifying_key().to_bytes())
    }

    /// The signature on `value`, said in the context `what`; 128 digits.
    pub(crate) fn sign(&self, what: &str, value: &Value) -> String {
        digits(&self.secret.sign(&message(what, value)).to_bytes())
    }
}

/// The public half alone; `None` if the library has no key yet.
pub(crate) fn read_public(layout: &Layout) -> Result<Option<PublicKey>> {
    Ok(read_key(&layout.public_key())?.map(PublicKey))
}

/// Random digits, so that what is hashed with them cannot be guessed.
pub(crate) fn salt() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::NoRandomNumbers {
        reason: e.to_string(),
    })?;
    Ok(digits(&bytes))
}

/// Whether others than the owner may read or write a file.
#[cfg(unix)]
pub(crate) fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

/// Elsewhere rights are not told by a number; the folder's own have to do.
#[cfg(not(unix))]
pub(crate) fn open_to_others(_path: &Path) -> bool {
    false
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>> {
    let damaged = || Error::DamagedKey {
        reason: "it does not read as one",
        path: path.into(),
    };
    let bytes = match read_bounded(path, MAX_KEY_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(ReadFailure::Missing) => return Ok(None),
        Err(ReadFailure::TooLarge { .. }) => return Err(damaged()),
        Err(ReadFailure::Io(e)) => return Err(Error::io("read the key", path, e)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    bytes_of(text.trim_end()).map(Some).ok_or_else(damaged)
}

/// What is signed: the context keeps a signature on one thing from being taken for one on another.
fn message(what: &str, value: &Value) -> Vec<u8> {
    let mut out = format!("stockpot {what}\n").into_bytes();
    out.extend(canonical(value));
    out
}

/// JSON in one spelling: no blanks, the fields of an object in the order of their names.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    spell(value, &mut out);
    out
}

fn spell(value: &Value, out: &mut Vec<u8>) {
    let mut between = false;
    let mut comma = |out: &mut Vec<u8>| {
        if std::mem::replace(&mut between, true) {
            out.push(b',');
        }
    };
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                comma(out);
                spell(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Sorted here: whether the map keeps an order is decided by whoever builds serde_json.
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            out.push(b'{');
            for name in names {
                comma(out);
                out.extend(Value::String(name.clone()).to_string().into_bytes());
                out.push(b':');
                spell(&fields[name.as_str()], out);
            }
            out.push(b'}');
        }
        plain => out.extend(plain.to_string().into_bytes()),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes that exactly so many lower-case digits spell.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_spelling_whatever_the_order() {
        let text = r#"{"b":[1,{"z":null,"a":"\u00e4\"\n"}],"a":true}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            String::from_utf8(canonical(&value)).unwrap(),
            "{\"a\":true,\"b\":[1,{\"a\":\"ä\\\"\\n\",\"z\":null}]}"
        );
    }

    #[test]
    fn signatures_hold_for_one_value_one_context_and_one_key() {
        let (keys, others) = (Keys::random().unwrap(), Keys::random().unwrap());
        let value = json!({"a": 1, "b": "x"});
        let signature = keys.sign("test", &value);
        assert!(keys.public().has_signed("test", &value, &signature));
        let same = json!({"b": "x", "a": 1});
        assert!(keys.public().has_signed("test", &same, &signature));
        let public = keys.public();
        assert!(!public.has_signed("test", &json!({"a": 2, "b": "x"}), &signature));
        assert!(!public.has_signed("other", &value, &signature));
        assert!(!others.public().has_signed("test", &value, &signature));
        assert!(!public.has_signed("test", &value, &signature[1..]));
        assert!(!public.has_signed("test", &value, &signature.to_uppercase()));
        assert_eq!(public.to_string().parse(), Ok(public));
        assert!("12".parse::<PublicKey>().is_err());
    }

    /// RFC 8032, section 7.1, TEST 2: the key pair, so that the file holds what the standard calls so.
    #[test]
    fn the_key_pair_is_that_of_the_standard() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let keys = Keys {
            secret: SigningKey::from_bytes(&bytes_of(seed).unwrap()),
        };
        assert_eq!(
            keys.public().to_string(),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
    }
}
