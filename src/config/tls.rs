//! What encrypts client connections: certificates and keys in files.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// Whether client connections are encrypted, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// They are not.
    Off,
    /// By a certificate that is made at the start: for development.
    SelfSigned,
    /// By certificates in files; never empty, the first is for clients that name no host.
    Files(Vec<KeyFiles>),
}

/// A certificate, with those that vouch for it, and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFiles {
    /// The certificate itself comes first.
    pub cert: PathBuf,
    /// Not encrypted.
    pub key: PathBuf,
}

/// Must clients show a certificate, where `client_ca` is given?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Without one, no connection.
    Required,
    /// One that is shown must be good.
    Optional,
}

/// Files that hold no keys as they should.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// Missing, or not ours to read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No such section.
    #[error("{} holds no certificate in PEM form (BEGIN CERTIFICATE)", .0.display())]
    NoCertificate(PathBuf),
    /// No such section.
    #[error(
        "{} holds no private key in PEM form (BEGIN PRIVATE KEY); an encrypted one must be decrypted first", .0.display()
    )]
    NoKey(PathBuf),
    /// What the sections hold is broken.
    #[error("{}: {error}", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where it stops making sense.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody would be asked for a certificate.
    #[error(
        "without tls, clients show no certificates, and all are let in; set tls, or leave this out"
    )]
    NotEncrypted,
    /// Each is well, but not together.
    #[error("the key in {} does not belong to the first certificate in {}", .key.display(), .cert.display())]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl KeyFiles {
    /// Reads both and makes sure that they belong together.
    ///
    /// # Errors
    /// Where a file is missing, is no PEM, or is another's.
    pub fn read(&self) -> Result<CertifiedKey, BadKeys> {
        let certificates = certificates(&self.cert)?;
        let key = match PrivateKeyDer::from_pem_slice(&contents(&self.key)?) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => return Err(BadKeys::NoKey(self.key.clone())),
            Err(error) => return Err(malformed(&self.key, error)),
        };
        let provider = ring::default_provider();
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| malformed(&self.key, error))?;
        let pair = CertifiedKey::new(certificates, key);
        match pair.keys_match() {
            Ok(()) => Ok(pair),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(BadKeys::Mismatch { cert: self.cert.clone(), key: self.key.clone() })
            }
            Err(error) => Err(malformed(&self.cert, error)),
        }
    }
}

/// What judges the certificates of clients, by those in this file.
///
/// # Errors
/// Where the file is missing, or holds no certificates.
pub fn client_verifier(
    ca: &Path,
    auth: ClientAuth,
) -> Result<Arc<dyn ClientCertVerifier>, BadKeys> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| malformed(ca, error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| malformed(ca, error))
}

impl BadKeys {
    /// The key of `tls` in whose file the fault is.
    pub(super) fn key(&self, files: &KeyFiles) -> &'static str {
        match self {
            Self::NoKey(_) | Self::Mismatch { .. } => "key",
            Self::Unreadable { path, .. } | Self::Malformed { path, .. } if *path == files.key => {
                "key"
            }
            _ => "cert",
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadKeys> {
    let text = contents(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(BadKeys::NoCertificate(path.to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(malformed(path, error)),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, BadKeys> {
    fs::read(path).map_err(|error| BadKeys::Unreadable { path: path.to_owned(), error })
}

fn malformed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> BadKeys {
    BadKeys::Malformed { path: path.to_owned(), error: error.into() }
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Tls;
            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str(
                    "\"off\", \"self-signed\", { cert = \"file\", key = \"file\" }, or a list of those",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tls, E> {
                match text {
                    "off" => Ok(Tls::Off),
                    "self-signed" => Ok(Tls::SelfSigned),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Tls, A::Error> {
                KeyFiles::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|files| Tls::Files(vec![files]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Tls, A::Error> {
                let files: Vec<KeyFiles> =
                    Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                match files.is_empty() {
                    true => Err(de::Error::invalid_length(0, &self)),
                    false => Ok(Tls::Files(files)),
                }
            }
        }
        input.deserialize_any(Reader)
    }
}
