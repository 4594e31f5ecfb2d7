//! Asking an authority when it is (RFC 3161), and nobody else for anything.
//!
//! What is sent is the hash of a signature and a random number; what comes back is a bounded answer
//! that must be granted, carry the same number and fit the hash. Start with [`TimeAuthority::new`].

use std::io::{Cursor, Read};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use c2pa::crypto::time_stamp::{TimeStampError, default_rfc3161_message, default_rfc3161_request};
use c2pa::http::http::{Request, Response, Uri, header};
use c2pa::http::{HttpResolverError, SyncHttpResolver};

use crate::error::{Error, Result};
use crate::report::clean;

/// Answers of known authorities have 3 to 8 KB. The library cannot pad a signature by 64 KiB or more,
/// so the room for the first answer must stay below.
const MOST_ANSWER_BYTES: u64 = 48 << 10;
/// For one question with its answer, from the look-up of the name on.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Before it is asked again, where it was out of reach. At the end of long work only.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// The next answer may be larger than the first: another number, another machine of the authority.
const SLACK_BYTES: usize = 4096;

/// A service that attests the time.
#[derive(Debug, Clone)]
pub struct TimeAuthority {
    address: String,
    agent: ureq::Agent,
}

impl TimeAuthority {
    /// The service at `address`, such as `http://timestamp.example.org/tsr`; nothing is asked yet.
    ///
    /// The proxy that the environment names is used, but not for this machine itself.
    ///
    /// # Errors
    /// [`Error::BadTimeAuthority`] for anything but `http://` and `https://` with a host.
    pub fn new(address: &str) -> Result<Self> {
        let bad = |reason: &str| Error::BadTimeAuthority {
            address: clean(address),
            reason: reason.to_owned(),
        };
        let uri: Uri = address
            .parse()
            .map_err(|_| bad("it is no address of the web"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("it begins neither with http:// nor with https://"));
        }
        let host = match (uri.authority(), uri.host()) {
            (Some(all), Some(host)) if !host.is_empty() => {
                if all.as_str().contains('@') {
                    return Err(bad("it has a name or password in it"));
                }
                host
            }
            _ => return Err(bad("it names no machine")),
        };
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(TIME_LIMIT))
            // The answer of another service than the one that was named is none.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent("stockpot");
        if is_here(host) {
            config = config.proxy(None);
        }
        Ok(Self {
            address: address.to_owned(),
            agent: config.build().into(),
        })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An answer to `message` as it came, checked: granted, for these bytes and this question.
    fn ask(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Trouble> {
        let question = default_rfc3161_message(message).map_err(|e| Trouble::answer(&e))?;
        let courier = Courier {
            agent: self.agent.clone(),
            refused: Mutex::new(None),
        };
        let courier = std::sync::Arc::new(courier);
        let context = c2pa::Context::new().with_resolver(courier.clone());
        let asked = default_rfc3161_request(&self.address, None, &question, message, &context);
        let refused = courier
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (asked, refused) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Some(told)) => Err(told),
            (Err(error), None) => Err(Trouble::answer(&error)),
        }
    }
}

/// Whether a host is this machine, by its name or number.
fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let number = bare.parse::<std::net::IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || number.is_ok_and(|n| n.is_loopback())
}

/// Why there is no stamp.
#[derive(Debug)]
struct Trouble {
    /// In words.
    reason: String,
    /// Whether it may go away by itself.
    passing: bool,
}

impl Trouble {
    fn answer(error: &TimeStampError) -> Self {
        let reason = match error {
            TimeStampError::NonceMismatch => "its answer is to another question".to_owned(),
            TimeStampError::InvalidData => "its stamp does not fit what was sent".to_owned(),
            TimeStampError::HttpErrorResponse(200, kind) => format!(
                "its answer is no time stamp but {}",
                clean(kind.as_deref().unwrap_or("of no kind that it names"))
            ),
            other => format!(
                "its answer is no good time stamp ({})",
                clean(&other.to_string())
            ),
        };
        Self {
            reason,
            passing: false,
        }
    }
}

/// Carries one question of the library to the authority, with a limit of time and of bytes.
struct Courier {
    agent: ureq::Agent,
    refused: Mutex<Option<Trouble>>,
}

impl Courier {
    fn refuse(&self, reason: String, passing: bool) -> HttpResolverError {
        let mut place = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let told = HttpResolverError::Other(reason.clone().into());
        *place = Some(Trouble { reason, passing });
        told
    }
}

impl SyncHttpResolver for Courier {
    fn http_resolve(
        &self,
        request: Request<Vec<u8>>,
    ) -> std::result::Result<Response<Box<dyn Read>>, HttpResolverError> {
        let unreached = |e: ureq::Error| self.refuse(format!("it was not reached ({e})"), true);
        let mut answer = self.agent.run(request).map_err(unreached)?;
        let status = answer.status();
        if status.as_u16() != 200 {
            let busy = status.is_server_error() || status.as_u16() == 429;
            return Err(self.refuse(format!("it answers with HTTP status {status}"), busy));
        }
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
        // Parameters behind it change nothing.
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MOST_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|e| match e {
                ureq::Error::BodyExceedsLimit(_) => self.refuse(
                    format!("its answer has more than {MOST_ANSWER_BYTES} bytes"),
                    false,
                ),
                other => unreached(other),
            })?;
        if let Some(reason) = refusal(&bytes) {
            return Err(self.refuse(reason, false));
        }
        let body: Box<dyn Read> = Box::new(Cursor::new(bytes));
        Ok(Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, kind)
            .body(body)?)
    }
}

/// What an authority says that grants nothing: the status is the first number of the first list
/// (RFC 3161, section 2.4.2); 0 and 1 grant. `None` also for what is no answer at all: that is found
/// by who reads the rest.
fn refusal(answer: &[u8]) -> Option<String> {
    let inside = |bytes: &[u8]| {
        let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
        let skip = match first {
            0x81..=0x84 => 2 + usize::from(first & 0x7f),
            _ => 2,
        };
        (tag == 0x30).then(|| bytes.get(skip..).map(<[u8]>::to_vec))?
    };
    let status = inside(&inside(answer)?)?;
    match status.as_slice() {
        [2, 1, 0 | 1, ..] => None,
        [2, 1, number @ 2..=5, ..] => {
            let word = match number {
                2 => "rejection",
                3 => "waiting",
                4 => "revocation warning",
                _ => "revocation notification",
            };
            Some(format!("it grants no time stamp (status {number}: {word})"))
        }
        _ => None,
    }
}

/// An authority that has answered once, and what went wrong since.
#[derive(Debug)]
pub(crate) struct Stamps {
    authority: TimeAuthority,
    /// Room for a stamp in the credentials, in bytes.
    room: usize,
    /// Before each further question.
    waits: &'static [Duration],
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    largest: usize,
    trouble: Option<String>,
}

impl Stamps {
    /// For a first question: much room, and no second try.
    pub(crate) fn probing(authority: TimeAuthority) -> Self {
        Self {
            authority,
            room: MOST_ANSWER_BYTES as usize,
            waits: &[],
            notes: Mutex::default(),
        }
    }

    /// For the questions that matter: as much room as the first answer took, and some tries.
    pub(crate) fn proven(&self) -> Self {
        let largest = self.noted().largest;
        Self {
            room: largest + SLACK_BYTES,
            waits: &WAITS,
            notes: Mutex::default(),
            authority: self.authority.clone(),
        }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn room(&self) -> usize {
        self.room
    }

    pub(crate) fn address(&self) -> &str {
        self.authority.address()
    }

    /// What went wrong last, once.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.noted().trouble.take()
    }

    /// A checked answer for `message`; what goes wrong is also kept for [`Stamps::trouble`].
    pub(crate) fn stamp(&self, message: &[u8]) -> c2pa::Result<Vec<u8>> {
        let mut waits = self.waits.iter();
        loop {
            match (self.authority.ask(message), waits.next()) {
                (Ok(answer), _) if answer.len() > self.room => {
                    return Err(self.fail(format!(
                        "its answer has {} bytes, the one at the start had {} less",
                        answer.len(),
                        answer.len() - self.room + SLACK_BYTES,
                    )));
                }
                (Ok(answer), _) => {
                    let mut notes = self.noted();
                    notes.largest = notes.largest.max(answer.len());
                    return Ok(answer);
                }
                (Err(trouble), Some(wait)) if trouble.passing => sleep(*wait),
                (Err(trouble), _) => return Err(self.fail(trouble.reason)),
            }
        }
    }

    fn fail(&self, reason: String) -> c2pa::Error {
        let told = c2pa::Error::OtherError(reason.clone().into());
        self.noted().trouble = Some(reason);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_taken() {
        for good in [
            "http://time.example/tsr",
            "https://time.example:8443/a?b=c",
            "http://[::1]:80",
        ] {
            assert_eq!(TimeAuthority::new(good).unwrap().address(), good);
        }
        for bad in [
            "",
            "time.example",
            "/tsr",
            "ftp://time.example/",
            "file:///etc/passwd",
            "http://",
            "http:///tsr",
            "https://me:secret@time.example/",
            "http://a b/",
        ] {
            let error = TimeAuthority::new(bad).unwrap_err();
            assert!(matches!(error, Error::BadTimeAuthority { .. }), "{bad}");
            assert!(error.hint().is_some_and(|h| h.contains("https://")));
        }
    }

    #[test]
    fn this_machine_is_asked_directly() {
        assert!(
            ["localhost", "LOCALHOST", "127.0.0.1", "127.3.2.1", "[::1]"].map(is_here) == [true; 5]
        );
        assert!(["time.example", "10.0.0.1", "localhost.example"].map(is_here) == [false; 3]);
    }

    #[test]
    fn refusals_are_told_from_other_answers() {
        assert!(
            refusal(&[0x30, 5, 0x30, 3, 2, 1, 2])
                .unwrap()
                .contains("rejection")
        );
        assert!(
            refusal(&[0x30, 0x81, 5, 0x30, 3, 2, 1, 3])
                .unwrap()
                .contains("waiting")
        );
        for other in [
            &[][..],
            &[0x30],
            &[0x30, 0x84],
            &[0x30, 5, 0x30, 3, 2, 1],
            &[0x30, 5, 0x30, 3, 2, 1, 0],
            &[0x30, 5, 0x30, 3, 2, 1, 1],
            b"<html>",
        ] {
            assert_eq!(refusal(other), None, "{other:?}");
        }
    }
}
