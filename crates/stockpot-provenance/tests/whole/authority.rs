//! An authority of this test's own that stamps the time over HTTP on this machine, well or badly.
//!
//! Answers are put together here, byte by byte (RFC 3161, section 2.4; RFC 5652, section 5), so that
//! the tests need no other program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, SigningKey, date_time_ymd,
};
use sha2::{Digest, Sha256};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Good,
    /// Another number than the one that was sent.
    OtherNonce,
    /// A stamp for something else.
    OtherImprint,
    /// A signature with a flipped bit.
    BadSignature,
    /// `status: rejection`.
    Rejects,
    /// An answer that never ends.
    Endless,
    /// A page for people.
    Page,
    /// HTTP status 503.
    Busy,
    /// HTTP status 302 to somewhere else.
    Moved,
    /// Bytes that are none of all this.
    Garbage,
}

/// What its certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    TimeStamps,
    Mail,
}

pub(crate) struct Authority {
    pub(crate) address: String,
    /// PEM of the root.
    pub(crate) root: String,
    asked: Arc<AtomicUsize>,
    manner: Arc<Mutex<Vec<Manner>>>,
}

struct Stamper {
    key: KeyPair,
    chain: Vec<Vec<u8>>,
}

impl Authority {
    pub(crate) fn new(purpose: For) -> Self {
        let (stamper, root) = Stamper::new(purpose);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/tsr", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let manner = Arc::new(Mutex::new(vec![Manner::Good]));
        let (count, ways) = (asked.clone(), manner.clone());
        std::thread::spawn(move || {
            for caller in listener.incoming() {
                let way = {
                    let mut ways = ways.lock().unwrap();
                    // The last one stays.
                    if ways.len() > 1 {
                        ways.remove(0)
                    } else {
                        ways[0]
                    }
                };
                count.fetch_add(1, Ordering::SeqCst);
                // A caller who hangs up is no concern of ours.
                let _ = answer(&stamper, caller.unwrap(), way);
            }
        });
        Self {
            address,
            root,
            asked,
            manner,
        }
    }

    /// From now on it answers so, one after the other, then always as the last.
    pub(crate) fn becomes(&self, manners: &[Manner]) {
        *self.manner.lock().unwrap() = manners.to_vec();
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(stamper: &Stamper, mut caller: TcpStream, manner: Manner) -> std::io::Result<()> {
    caller.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut got = Vec::new();
    let body = loop {
        let mut some = [0; 1024];
        let n = caller.read(&mut some)?;
        got.extend_from_slice(&some[..n]);
        let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&got[..at]).to_ascii_lowercase();
        assert!(head.starts_with("post /tsr http/1.1"), "{head}");
        assert!(
            head.contains("content-type: application/timestamp-query"),
            "{head}"
        );
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if got.len() >= at + 4 + length {
            break got[at + 4..].to_vec();
        }
    };
    let reply = stamper.reply(&body, manner);
    let (status, kind) = match manner {
        Manner::Busy => ("503 Service Unavailable", "text/plain"),
        Manner::Moved => ("302 Found\r\nLocation: http://127.0.0.1:9/", "text/plain"),
        Manner::Page => ("200 OK", "text/html"),
        _ => ("200 OK", "application/timestamp-reply"),
    };
    let length = match manner {
        Manner::Endless => String::new(),
        _ => format!("Content-Length: {}\r\n", reply.len()),
    };
    write!(
        caller,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}Connection: close\r\n\r\n"
    )?;
    caller.write_all(&reply)?;
    if manner == Manner::Endless {
        loop {
            caller.write_all(&[0; 4096])?;
        }
    }
    Ok(())
}

impl Stamper {
    /// With the PEM of its root.
    fn new(purpose: For) -> (Self, String) {
        let params = |name: &str, serial: u64| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Test");
            params.distinguished_name.push(DnType::CommonName, name);
            params.serial_number = Some(SerialNumber::from(serial));
            params.not_before = date_time_ymd(2024, 1, 1);
            params.not_after = date_time_ymd(2060, 1, 1);
            params
        };
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut root = params("Root of time", 77);
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_cert = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::from_params(&root, &root_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut leaf = params("Clock of the test", 78);
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![match purpose {
            For::TimeStamps => ExtendedKeyUsagePurpose::TimeStamping,
            For::Mail => ExtendedKeyUsagePurpose::EmailProtection,
        }];
        leaf.use_authority_key_identifier_extension = true;
        let cert = leaf.signed_by(&key, &issuer).unwrap();
        let chain = vec![cert.der().to_vec(), root_cert.der().to_vec()];
        (Self { key, chain }, root_cert.pem())
    }

    fn reply(&self, question: &[u8], manner: Manner) -> Vec<u8> {
        match manner {
            Manner::Rejects => return seq(&[&seq(&[&tlv(2, &[2])])]),
            Manner::Page => return b"<html>Welcome</html>".to_vec(),
            Manner::Busy | Manner::Moved => return b"not now".to_vec(),
            Manner::Garbage => return b"\x30\x03abc and so on".to_vec(),
            Manner::Endless => return Vec::new(),
            _ => {}
        }
        // TimeStampReq: version, imprint, nonce, wants certificates.
        let fields = parts(parts(question)[0].1);
        let mut imprint = fields[1].0.to_vec();
        let mut nonce = fields[2].0.to_vec();
        assert_eq!(fields[2].0[0], 2, "a nonce is asked for");
        if manner == Manner::OtherNonce {
            *nonce.last_mut().unwrap() ^= 1;
        }
        if manner == Manner::OtherImprint {
            *imprint.last_mut().unwrap() ^= 1;
        }
        let info = seq(&[
            &tlv(2, &[1]),
            &tlv(6, &[0x2a, 3, 4]),
            &imprint,
            &tlv(2, &[9]),
            &tlv(0x18, now().as_bytes()),
            &nonce,
        ]);
        const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
        const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
        const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
        const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
        const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        const ECDSA_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let attribute = |kind: &[u8], value: &[u8]| seq(&[&tlv(6, kind), &tlv(0x31, value)]);
        let mut attributes = [
            attribute(CONTENT_TYPE, &tlv(6, TST_INFO)),
            attribute(MESSAGE_DIGEST, &tlv(4, &Sha256::digest(&info))),
        ];
        attributes.sort();
        let attributes = attributes.concat();
        let mut signature = self.key.sign(&tlv(0x31, &attributes)).unwrap();
        if manner == Manner::BadSignature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let hash = seq(&[&tlv(6, SHA_256)]);
        // Issuer and number, out of the certificate: version, number, algorithm, issuer.
        let of_cert = parts(parts(parts(&self.chain[0])[0].1)[0].1);
        let signer = seq(&[
            &tlv(2, &[1]),
            &seq(&[of_cert[3].0, of_cert[1].0]),
            &hash,
            &tlv(0xa0, &attributes),
            &seq(&[&tlv(6, ECDSA_SHA_256)]),
            &tlv(4, &signature),
        ]);
        let mut chain = self.chain.clone();
        chain.sort();
        let signed = seq(&[
            &tlv(2, &[3]),
            &tlv(0x31, &hash),
            &seq(&[&tlv(6, TST_INFO), &tlv(0xa0, &tlv(4, &info))]),
            &tlv(0xa0, &chain.concat()),
            &tlv(0x31, &signer),
        ]);
        let token = seq(&[&tlv(6, SIGNED_DATA), &tlv(0xa0, &signed)]);
        seq(&[&seq(&[&tlv(2, &[0])]), &token])
    }
}

/// An element of DER: its tag, its length, its content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content.to_vec()].concat()
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// The elements of a content: each as a whole, and what is in it.
fn parts(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (skip, length) = match bytes[1] {
            0x81 => (3, usize::from(bytes[2])),
            0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
            short => (2, usize::from(short)),
        };
        out.push((&bytes[..skip + length], &bytes[skip..skip + length]));
        bytes = &bytes[skip + length..];
    }
    out
}

/// As ASN.1 has it: the civil date of a count of days (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn now() -> String {
    let secs = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let day = secs / 86_400 + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
}
