//! The directory in which the ledger and the disk tier have their files: nobody else can change what is in it.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, statat, unlinkat};
use rustix::process::geteuid;

/// A directory that is open: what is done with its files is done there, whatever its path leads to by then.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    folder: File,
    identity: Identity,
}

/// What tells a file from all others of the machine: its device and its number there.
type Identity = (u64, u64);

/// Why a directory is not used.
#[derive(Debug)]
pub enum Unfit {
    Io(PathBuf, io::Error),
    /// Others than its owner can write to it: its permissions.
    Writable(PathBuf, u32),
    /// It belongs to this other user.
    Foreign(PathBuf, u32),
    /// It is a symbolic link of this other user.
    ForeignLink(PathBuf, u32),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = geteuid().as_raw();
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Writable(path, mode) => write!(
                f,
                "others can write to the directory {0} (mode {mode:03o}): chmod 700 {0}",
                path.display()
            ),
            Self::Foreign(path, user) => write!(
                f,
                "the directory {0} belongs to another user ({user}), who can change what is in it: chown -R {own} {0}, or name another directory",
                path.display()
            ),
            Self::ForeignLink(path, user) => write!(
                f,
                "{} is a symbolic link of another user ({user}), who can have it lead elsewhere: name the directory itself, or chown -h {own} it",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Unfit {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Writable(..) | Self::Foreign(..) | Self::ForeignLink(..) => None,
        }
    }
}

/// Whether a user may do as they like with what is this process's.
fn is_trusted(user: u32, own: u32) -> bool {
    user == own || user == 0
}

/// Why a process of the user `own` does not use a directory with this owner and mode, which a link of the user `link` leads to.
fn unfit(path: &Path, link: Option<u32>, (owner, mode): (u32, u32), own: u32) -> Option<Unfit> {
    let path = path.to_owned();
    match link {
        Some(user) if !is_trusted(user, own) => Some(Unfit::ForeignLink(path, user)),
        _ if !is_trusted(owner, own) => Some(Unfit::Foreign(path, owner)),
        _ if mode & 0o022 != 0 => Some(Unfit::Writable(path, mode & 0o777)),
        _ => None,
    }
}

impl Directory {
    /// Opens the directory, or makes it and those above it, which nobody else can enter then.
    ///
    /// # Errors
    /// When it can be neither opened nor made, or others can change what is in it.
    pub fn make(path: &Path) -> Result<Self, Unfit> {
        // Without a slash at the end, which would hide that it is a link.
        let path: PathBuf = path.components().collect();
        let failed = |error| Unfit::Io(path.clone(), error);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(failed)?;
        let link = fs::symlink_metadata(&path).map_err(failed)?;
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let found = folder.metadata().map_err(failed)?;
        let link = link.is_symlink().then(|| link.uid());
        let own = geteuid().as_raw();
        match unfit(&path, link, (found.uid(), found.mode()), own) {
            Some(unfit) => Err(unfit),
            None => Ok(Self {
                identity: identity(&found),
                path,
                folder,
            }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it, and `name` in it to `file`; also when that cannot be told now.
    pub fn is_in_place(&self, name: &str, file: &File) -> bool {
        let is_gone = |error: io::Error| {
            let kind = error.kind();
            matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        let is_this = match fs::metadata(&self.path) {
            Ok(folder) => identity(&folder) == self.identity,
            Err(error) => !is_gone(error),
        };
        let of_name = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let has_file = match (of_name, file.metadata()) {
            // Types differ between systems.
            #[allow(clippy::unnecessary_cast)]
            (Ok(found), Ok(file)) => (found.st_dev as u64, found.st_ino as u64) == identity(&file),
            (Err(error), _) => !is_gone(error.into()),
            (Ok(_), Err(_)) => true,
        };
        is_this && has_file
    }

    /// Opens a file for reading and writing; one that is made is for nobody else.
    pub fn open(&self, name: &str, how: How) -> io::Result<File> {
        let how = match how {
            How::AsItIs => OFlags::empty(),
            How::Made => OFlags::CREATE,
            How::Emptied => OFlags::CREATE | OFlags::TRUNC,
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | how;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(openat(&self.folder, name, flags, mode)?.into())
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.folder, from, &self.folder, to)?)
    }

    /// Removes a file, if there is one.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Which files there are outlives the machine's power when this returns.
    pub fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    AsItIs,
    /// It is made where there is none.
    Made,
    /// The same, and nothing is in it.
    Emptied,
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        const OWN: u32 = 1_000;
        let what = |link, owner, mode| match unfit(Path::new("/x"), link, (owner, mode), OWN) {
            None => "used",
            Some(Unfit::Io(..)) => "failed",
            Some(Unfit::Writable(..)) => "writable",
            Some(Unfit::Foreign(..)) => "foreign",
            Some(Unfit::ForeignLink(..)) => "foreign link",
        };
        #[rustfmt::skip]
        let table = [
            (None, OWN, 0o40_700, "used"),
            // Others may see what there is: the files are for nobody else.
            (None, OWN, 0o40_755, "used"),
            (None, OWN, 0o40_770, "writable"),
            (None, OWN, 0o40_702, "writable"),
            (None, OWN, 0o41_777, "writable"),
            // As with a directory that systemd or a container has made.
            (None, 0, 0o40_755, "used"),
            (None, 0, 0o41_777, "writable"),
            (None, 1_001, 0o40_700, "foreign"),
            (Some(OWN), OWN, 0o40_700, "used"),
            (Some(0), OWN, 0o40_700, "used"),
            (Some(1_001), OWN, 0o40_700, "foreign link"),
            (Some(OWN), OWN, 0o40_777, "writable"),
        ];
        for (link, owner, mode, expected) in table {
            assert_eq!(
                what(link, owner, mode),
                expected,
                "{link:?} {owner} {mode:o}"
            );
        }
    }

    #[test]
    fn what_is_made_is_for_nobody_else_and_a_refusal_names_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("above/disk");
        let directory = Directory::make(&path).unwrap();
        let file = directory.open("file", How::Made).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path.join("file")), 0o600);
        assert!(directory.is_in_place("file", &file));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let refused = Directory::make(&path).unwrap_err().to_string();
        let cure = format!("(mode 770): chmod 700 {}", path.display());
        assert!(refused.ends_with(&cure), "{refused}");
        // Nor is a file a directory.
        let refused = Directory::make(&path.join("file")).unwrap_err();
        assert!(matches!(refused, Unfit::Io(..)), "{refused}");
    }

    #[test]
    fn a_link_leads_to_it_where_it_is_ours_and_none_leads_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link, elsewhere] =
            ["disk", "link", "elsewhere"].map(|it| folder.path().join(it));
        fs::write(&elsewhere, "precious").unwrap();
        Directory::make(&path).unwrap();
        symlink(&path, &link).unwrap();
        let directory = Directory::make(&link).unwrap();
        symlink(&elsewhere, path.join("file")).unwrap();
        for how in [How::AsItIs, How::Made, How::Emptied] {
            directory.open("file", how).unwrap_err();
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
        // Only root can give a link away.
        if lchown(&link, Some(1_001), None).is_ok() {
            for path in [link.clone(), link.join("")] {
                let refused = Directory::make(&path).unwrap_err();
                assert!(matches!(refused, Unfit::ForeignLink(_, 1_001)), "{refused}");
            }
            lchown(&path, Some(1_001), None).unwrap();
            let refused = Directory::make(&path).unwrap_err();
            assert!(matches!(refused, Unfit::Foreign(_, 1_001)), "{refused}");
        }
    }

    #[test]
    fn a_directory_that_was_removed_or_replaced_is_not_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let open = || {
            let directory = Directory::make(&path).unwrap();
            let file = directory.open("file", How::Made).unwrap();
            (directory, file)
        };
        let (first, file) = open();
        assert!(first.is_in_place("file", &file));
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(!first.is_in_place("file", &file));
        let (second, other) = open();
        assert!(!first.is_in_place("file", &file));
        assert!(second.is_in_place("file", &other));
        // What is done with its files is done there.
        first.rename("file", "renamed").unwrap();
        first.remove("nothing").unwrap();
        assert!(path.join("file").exists());
        assert!(folder.path().join("moved/renamed").exists());
        fs::remove_file(path.join("file")).unwrap();
        assert!(!second.is_in_place("file", &other));
        let third = second.open("file", How::Made).unwrap();
        assert!(!second.is_in_place("file", &other));
        assert!(second.is_in_place("file", &third));
        fs::remove_dir_all(&path).unwrap();
        assert!(!second.is_in_place("file", &third));
    }
}
