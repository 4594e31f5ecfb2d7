//! The certificates of a new identity: a small authority, and a signing certificate under it.
//!
//! Two, so that a signing key can be replaced while those who trust the authority go on trusting.
//! ECDSA on P-256: the one signature every reader of credentials must know. No name of a person or
//! machine is put in; whoever wants one brings a certificate of their own.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    date_time_ymd,
};

/// What stands as organisation in the certificates that are made here.
pub(crate) const ORGANISATION: &str = "A stockpot user (made on their machine)";

/// First and last year of validity. Without a time stamp a signature is good only while its
/// certificate is, and nobody wants a film of theirs to turn doubtful: so, long. It begins well
/// before any machine that has its clock wrong.
const YEARS: (i32, i32) = (2024, 2060);

/// A new authority and signing certificate, as PEM.
pub(crate) struct Made {
    /// The authority's certificate.
    pub(crate) authority: String,
    /// The authority's key.
    pub(crate) authority_key: String,
    /// The signing certificate, then the authority's.
    pub(crate) chain: String,
    /// The signing key.
    pub(crate) key: String,
}

/// Makes both; `name` tells one identity from another, in digits.
pub(crate) fn make(name: &str) -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut authority = params(&format!("stockpot authority {name}"))?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_cert = authority.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&authority, &authority_key);

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = params(&format!("stockpot signer {name}"))?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // One of the purposes that readers of credentials accept (C2PA 2.x, "X.509 certificates").
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    leaf.use_authority_key_identifier_extension = true;
    let cert = leaf.signed_by(&key, &issuer)?;
    Ok(Made {
        chain: cert.pem() + &authority_cert.pem(),
        authority: authority_cert.pem(),
        authority_key: authority_key.serialize_pem(),
        key: key.serialize_pem(),
    })
}

fn params(common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(YEARS.0, 1, 1);
    params.not_after = date_time_ymd(YEARS.1, 1, 1);
    Ok(params)
}

/// The signature that goes with a PEM key.
pub(crate) fn algorithm_of(key: &str) -> Result<c2pa::SigningAlg, String> {
    let pair = KeyPair::from_pem(key).map_err(|e| e.to_string())?;
    let known = [
        (&PKCS_ECDSA_P256_SHA256, c2pa::SigningAlg::Es256),
        (&PKCS_ECDSA_P384_SHA384, c2pa::SigningAlg::Es384),
        (&PKCS_ED25519, c2pa::SigningAlg::Ed25519),
        (&PKCS_RSA_SHA256, c2pa::SigningAlg::Ps256),
    ];
    known
        .into_iter()
        .find(|(theirs, _)| pair.is_compatible(theirs))
        .map(|(_, ours)| ours)
        .ok_or_else(|| "no signature of content credentials goes with such a key".to_owned())
}
