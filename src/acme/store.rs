//! The files of one authority: its account, certificates and keys, which nobody else may read. Each is replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::Acme;

/// The folder of one authority.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// Held while a certificate is being issued; the system releases it when the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "kept for its drop")] File);

const ACCOUNT: &str = "account.json";

impl Store {
    /// Makes the folder where it is missing, and keeps others out of it.
    pub fn open(acme: &Acme) -> io::Result<Self> {
        let folder = acme.folder();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let permissions = fs::metadata(&folder)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `None` when another process has it.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// `None` when there is none.
    pub fn account(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(ACCOUNT)) {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn save_account(&self, account: &[u8]) -> io::Result<()> {
        self.save(ACCOUNT, account)
    }

    /// Keeps an account that the authority does not know any more, under another name.
    pub fn set_account_aside(&self) -> io::Result<()> {
        let aside = self.folder.join("account-refused.json");
        fs::rename(self.folder.join(ACCOUNT), aside)
    }

    /// Stores a certificate with its key.
    pub fn save_certificate(&self, name: &str, pem: &str) -> io::Result<()> {
        self.save(&format!("{name}.pem"), pem.as_bytes())
    }

    /// Whoever reads the file finds the old content or the new, after a crash, too.
    fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        // One process writes at a time. What a crash has left is replaced.
        let temporary = self.folder.join(format!(".{name}.new"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let written = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, self.folder.join(name)))
            // The name itself.
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::acme::Challenge;

    fn acme(state: &Path) -> Acme {
        Acme {
            domains: vec!["a.test".into()],
            contact: Vec::new(),
            directory: "https://ca.test/dir".to_owned(),
            directory_ca: None,
            state: state.to_owned(),
            challenge: Challenge::Http01,
            profile: None,
            binding: None,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_what_is_stored() {
        let state = tempfile::tempdir().expect("a folder");
        let acme = acme(&state.path().join("a/b"));
        let store = Store::open(&acme).expect("a store");
        assert_eq!(mode(&acme.state), 0o700);
        assert_eq!(mode(store.folder()), 0o700);
        store.save_certificate("a.test", "one").expect("stored");
        let file = acme.certificate("a.test").cert;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(fs::read(&file).expect("a file"), b"one");
        // A crash may have left files and loose permissions: the files are overwritten, the permissions set again.
        fs::write(store.folder().join(".a.test.pem.new"), "torn").expect("a file");
        fs::set_permissions(store.folder(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let store = Store::open(&acme).expect("a store");
        assert_eq!(mode(store.folder()), 0o700);
        store.save_certificate("a.test", "two").expect("stored");
        assert_eq!(fs::read(&file).expect("a file"), b"two");
        let names = fs::read_dir(store.folder()).expect("a folder");
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn what_cannot_be_stored_leaves_what_was_there() {
        let state = tempfile::tempdir().expect("a folder");
        let store = Store::open(&acme(state.path())).expect("a store");
        store.save_account(b"one").expect("stored");
        // A folder cannot be replaced by a file.
        let taken = store.folder().join("b.test.pem");
        fs::create_dir_all(taken.join("full")).expect("a folder");
        store
            .save_certificate("b.test", "x")
            .expect_err("a failure");
        assert!(!store.folder().join(".b.test.pem.new").exists());
        assert_eq!(
            store.account().expect("a file").as_deref(),
            Some(&b"one"[..])
        );
        store.set_account_aside().expect("renamed");
        assert_eq!(store.account().expect("no file"), None);
    }

    #[test]
    fn one_process_at_a_time_has_certificates_issued() {
        let state = tempfile::tempdir().expect("a folder");
        let store = Store::open(&acme(state.path())).expect("a store");
        let first = store.lock().expect("a lock");
        assert!(first.is_some());
        assert!(store.lock().expect("no lock").is_none());
        drop(first);
        assert!(store.lock().expect("a lock").is_some());
    }
}
