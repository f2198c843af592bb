//! TLS that tells what it saw: whose certificate the server showed, whether it was found good and why not, and
//! whether it asked for one in return.
//!
//! All of that is known before the handshake ends, so that it is known of one that fails, too.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::datastore::certificate::Certificate;
use crate::datastore::health::{Cause, Failure, Tls};

/// At most so many certificates of a server are kept: its own, and those that vouch for it.
const MOST: usize = 8;

/// By what the server is checked, and what it is shown.
#[derive(Debug, Default)]
pub(super) struct Identity {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<Arc<CertifiedKey>>,
    /// Whether any certificate of the server is taken.
    pub(super) takes_any: bool,
    /// The name by which the server is checked, in place of the URL's.
    pub(super) server_name: Option<String>,
}

impl Identity {
    /// The authorities in a PEM text, and a client's certificate with its key.
    pub(super) fn new(authorities: &[u8], client: Option<(&[u8], &[u8])>) -> Result<Self, String> {
        let authorities = certificates(authorities);
        let client = client.map(|(certificate, key)| pair(certificate, key)).transpose()?;
        Ok(Self { authorities, client, takes_any: false, server_name: None })
    }

    /// The client's certificate.
    pub(super) fn client_certificate(&self) -> Option<Certificate> {
        self.client.as_ref()?.cert.first().and_then(|der| Certificate::parse(der))
    }

    /// The authorities: a few that were given, not a system's hundreds.
    pub(super) fn authorities(&self) -> Vec<Certificate> {
        if self.authorities.len() > MOST {
            return Vec::new();
        }
        self.authorities.iter().filter_map(|der| Certificate::parse(der)).collect()
    }

    /// Whether there is any authority to check a server by.
    pub(super) const fn has_authorities(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// Begins TLS with the server called `host`.
    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        host: &str,
        seen: &Arc<Mutex<Seen>>,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |cause, reason| Failure { cause, reason };
        let host = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(Cause::Configuration, format!("no name of a server: {host}")))?;
        let config = self.config(seen).map_err(|error| {
            failed(Cause::Configuration, format!("TLS cannot be set up: {error}"))
        })?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let mut seen = lock(seen);
        match connected {
            Ok(stream) => {
                let version = stream.get_ref().1.protocol_version();
                seen.tls.version = version.and_then(|it| it.as_str()).map(str::to_owned);
                Ok(stream)
            }
            Err(error) => {
                let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                Err(match (seen.cause, told) {
                    (Some(cause), _) => {
                        failed(cause, seen.tls.distrust.clone().unwrap_or_default())
                    }
                    (None, Some(told)) => rejected(told, seen.tls.asks_for_certificate),
                    (None, None) => {
                        failed(Cause::Tls, format!("the TLS handshake was broken off: {error}"))
                    }
                })
            }
        }
    }

    fn config(&self, seen: &Arc<Mutex<Seen>>) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        let judge =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .ok();
        let witness = Witness {
            judge,
            takes_any: self.takes_any,
            provider: Arc::clone(&provider),
            seen: Arc::clone(seen),
        };
        let shown = Shown { client: self.client.clone(), seen: Arc::clone(seen) };
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(witness))
            .with_client_cert_resolver(Arc::new(shown)))
    }
}

/// What was seen until now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) tls: Tls,
    /// Why the server's certificate is not good.
    cause: Option<Cause>,
}

pub(super) fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the server broke off, or this side.
pub(super) fn rejected(told: &Error, asked: bool) -> Failure {
    match told {
        Error::AlertReceived(alert) if asked => Failure {
            cause: Cause::ClientCertificate,
            reason: format!(
                "the server does not take the client's certificate, or the lack of one ({alert:?})"
            ),
        },
        Error::AlertReceived(alert) => {
            Failure { cause: Cause::Tls, reason: format!("the server broke TLS off ({alert:?})") }
        }
        Error::InvalidMessage(_) => Failure {
            cause: Cause::Tls,
            reason: "what answers does not speak TLS: is the URL to be http://?".to_owned(),
        },
        other => Failure { cause: Cause::Tls, reason: format!("TLS failed: {other}") },
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// A certificate and its key.
fn pair(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(certificate);
    if chain.is_empty() {
        return Err("the client's certificate is no PEM certificate".to_owned());
    }
    // The words of the error would not show the key, but nor do they help.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "the client's key is no private key in PEM without a password")?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| "the client's key is of no kind that TLS knows")?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Err(Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err("the client's key does not belong to its certificate".to_owned())
        }
        _ => Ok(Arc::new(pair)),
    }
}

/// Judges the server's certificate, and remembers what it was.
#[derive(Debug)]
struct Witness {
    /// `None`: no authority is known.
    judge: Option<Arc<WebPkiServerVerifier>>,
    takes_any: bool,
    provider: Arc<CryptoProvider>,
    seen: Arc<Mutex<Seen>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.judge {
            Some(judge) => {
                judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        let shown = std::iter::once(end_entity).chain(intermediates).take(MOST);
        let mut seen = lock(&self.seen);
        seen.tls.certificates = shown.filter_map(|der| Certificate::parse(der)).collect();
        seen.tls.is_trusted = Some(verdict.is_ok());
        if let Err(error) = &verdict {
            let (cause, why) = distrust(error, self.judge.is_some());
            seen.tls.distrust = Some(why);
            seen.cause = (!self.takes_any).then_some(cause);
        }
        if self.takes_any { Ok(ServerCertVerified::assertion()) } else { verdict }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn distrust(error: &Error, has_authority: bool) -> (Cause, String) {
    let Error::InvalidCertificate(why) = error else {
        return (Cause::Tls, format!("the server's certificate is not understood: {error}"));
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Cause::Expired,
            "the server's certificate, or one that vouches for it, is over".to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            Cause::NotYetValid,
            "the server's certificate does not hold yet: is this host's clock right?".to_owned(),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (Cause::WrongName, "the server's certificate is not for the name in the URL".to_owned())
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature if has_authority => (
            Cause::UnknownAuthority,
            "the server's certificate is by none of the authorities that were given".to_owned(),
        ),
        CertificateError::UnknownIssuer => (
            Cause::UnknownAuthority,
            "no authority is known by which the server's certificate could be checked".to_owned(),
        ),
        other => (Cause::Tls, format!("the server's certificate is not good: {other}")),
    }
}

/// Shows the client's certificate, and remembers that it was asked for.
#[derive(Debug)]
struct Shown {
    client: Option<Arc<CertifiedKey>>,
    seen: Arc<Mutex<Seen>>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        lock(&self.seen).tls.asks_for_certificate = true;
        self.client.clone()
    }

    fn has_certs(&self) -> bool {
        self.client.is_some()
    }
}
