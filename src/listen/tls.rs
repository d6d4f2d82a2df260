//! TLS: which certificate is shown to whom, and what becomes of it when its files change.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, RwLock};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::{
    config::{BadKeys, Files, KeyFiles, LOOK, Listen, Tls, client_verifier},
    tasks::{self, Tasks},
};

/// What connections of one listener are encrypted by.
#[derive(Debug)]
pub(super) struct Encryption {
    name: String,
    source: Listen,
    current: RwLock<Arc<ServerConfig>>,
    /// Looked for on the disk under it.
    files: Mutex<Files>,
    is_followed: AtomicBool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoEncryption {
    /// The files that the configuration names.
    #[error(transparent)]
    Keys(#[from] BadKeys),
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// A fault of ours: what was read is not taken.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

impl Encryption {
    /// None where connections are not encrypted. `name` is the listener's.
    pub(super) fn of(listen: &Listen, name: &str) -> Result<Option<Arc<Self>>, NoEncryption> {
        let files = Files::new(files_of(listen));
        let certificates = match &listen.tls {
            Tls::Off => return Ok(None),
            Tls::SelfSigned => Certificates::self_signed(name)?,
            Tls::Files(pairs) => Certificates::read(pairs)?,
        };
        let current = server_config(listen, Arc::new(certificates))?;
        Ok(Some(Arc::new(Self {
            name: name.to_owned(),
            source: listen.clone(),
            current: RwLock::new(current),
            files: Mutex::new(files),
            is_followed: AtomicBool::new(false),
        })))
    }

    /// For one handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().clone())
    }

    /// From here on, reads the files again when they have changed, for as long as anybody uses this.
    pub(super) fn follow_files(self: &Arc<Self>) {
        if !self.files.lock().are_none() && !self.is_followed.swap(true, Relaxed) {
            Tasks::background(follow(Arc::downgrade(self)));
        }
    }

    fn look(&self) {
        if !self.files.lock().have_changed() {
            return;
        }
        match self.read_again() {
            Ok(config) => {
                *self.current.write() = config;
                tracing::info!(address = %self.name, "certificates read again");
            }
            Err(error) => tracing::error!(
                address = %self.name,
                %error,
                "new certificates are not usable; keeping the former ones"
            ),
        }
    }

    /// Tickets of former sessions go with the former certificates: whoever resumes is not asked for
    /// a certificate again.
    fn read_again(&self) -> Result<Arc<ServerConfig>, NoEncryption> {
        match &self.source.tls {
            Tls::Files(pairs) => server_config(&self.source, Arc::new(Certificates::read(pairs)?)),
            Tls::SelfSigned | Tls::Off => {
                let made = self.current.read().cert_resolver.clone();
                server_config(&self.source, made)
            }
        }
    }
}

async fn follow(encryption: Weak<Encryption>) {
    loop {
        sleep(LOOK).await;
        let Some(encryption) = encryption.upgrade() else { return };
        let look = move || {
            encryption.look();
            Ok(())
        };
        if tasks::blocking(look).await.is_err() {
            return;
        }
    }
}

fn server_config(
    listen: &Listen,
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, NoEncryption> {
    let verifier = match &listen.client_ca {
        Some(ca) => client_verifier(ca, listen.client_auth)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// By the name that the client asks for.
#[derive(Debug)]
struct Certificates {
    /// Exact ones, and `*.example.org`. Several where there is one for each kind of key.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that name none, or one that nobody has here.
    first: Arc<CertifiedKey>,
}

impl Certificates {
    fn read(pairs: &[KeyFiles]) -> Result<Self, NoEncryption> {
        let mut all = Vec::new();
        for files in pairs {
            all.push(Arc::new(files.read()?));
        }
        let first = all.first().cloned();
        let first = first.ok_or(rustls::Error::NoCertificatesPresented)?;
        let mut by_name = HashMap::<String, Vec<_>>::new();
        for pair in all {
            let certificate = pair.end_entity_cert()?;
            let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { continue };
            for name in parsed.valid_dns_names() {
                by_name.entry(name.to_ascii_lowercase()).or_default().push(pair.clone());
            }
        }
        Ok(Self { by_name, first })
    }

    fn self_signed(listener: &str) -> Result<Self, NoEncryption> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let mut names = vec!["localhost".to_owned()];
        names.extend(local.map(|address| address.to_string()));
        if !host.is_empty() && host != "localhost" && host.is_ascii() {
            names.push(host);
        }
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name.push(DnType::CommonName, "seawall, self-signed");
        let signer = KeyPair::generate()?;
        let made = params.self_signed(&signer)?;
        let fingerprint = Sha256::digest(made.der());
        let fingerprint: Vec<String> =
            fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        tracing::warn!(
            address = listener,
            names = names.join(" "),
            sha256 = fingerprint.join(":"),
            "self-signed certificate: for development, do not use it in production"
        );
        let key = PrivateKeyDer::Pkcs8(signer.serialize_der().into());
        let chain = vec![made.into()];
        let first = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Self { by_name: HashMap::new(), first: Arc::new(first) })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let of_wildcard = || {
                let (_, domain) = name.split_once('.')?;
                self.by_name.get(&format!("*.{domain}"))
            };
            self.by_name.get(&name).or_else(of_wildcard)
        });
        let schemes = hello.signature_schemes();
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        let chosen = named.and_then(|pairs| pairs.iter().find(fits).or(pairs.first()));
        Some(chosen.unwrap_or(&self.first).clone())
    }
}

fn files_of(listen: &Listen) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = listen.client_ca.iter().cloned().collect();
    if let Tls::Files(pairs) = &listen.tls {
        files.extend(pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    }
    files
}
