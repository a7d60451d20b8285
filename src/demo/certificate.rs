//! The certificate of `bookend demo --tls`: made on the spot, in a folder that is removed at the end.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::folder::TemporaryFolder;

/// A certificate that signs itself, and its key, in files of a folder that this removes when it is dropped.
#[derive(Debug)]
pub struct TemporaryCertificate {
    folder: TemporaryFolder,
}

impl TemporaryCertificate {
    /// For `localhost`, this machine's loopback addresses, and `address`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn make(address: IpAddr) -> Result<Self, Box<dyn Error>> {
        let mut names = vec!["localhost".to_owned()];
        let mut addresses = vec![
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        if !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
        names.extend(addresses.iter().map(IpAddr::to_string));
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "bookend demo");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let made = Self {
            folder: TemporaryFolder::make()?,
        };
        write(&made.certificate(), &certificate.pem())?;
        write(&made.key(), &key.serialize_pem())?;
        Ok(made)
    }

    /// Its file (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The file of its key (PEM).
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
