//! Listening at socket files.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{BACKLOG, Bound, Listener, NoListener};
use crate::config::Mode;

/// A socket file of ours, removed with this.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: whoever has put another one there keeps it.
    identity: (u64, u64),
}

/// One socket, of which each worker has a descriptor. A file that a process left behind which is
/// gone gives way; one at which somebody listens does not.
pub(super) fn bind(path: &Path, mode: Mode, workers: usize) -> Result<Listener, NoListener> {
    let name = format!("unix:{}", path.display());
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => NoListener::Folder { path: path.to_owned(), error },
        _ => NoListener::Other(name.clone(), error),
    };
    let place = SockAddr::unix(path).map_err(told)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(told)?;
    match socket.bind(&place) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &place, told)?;
            socket.bind(&place).map_err(told)?;
        }
        bound => bound.map_err(told)?,
    }
    let file = SocketFile::of(path).map_err(told)?;
    // Before it listens, nobody can connect: there is no moment of other permissions.
    fs::set_permissions(path, fs::Permissions::from_mode(mode.0)).map_err(told)?;
    socket.set_nonblocking(true).map_err(told)?;
    socket.listen(BACKLOG).map_err(told)?;
    let socket: UnixListener = socket.into();
    let mut sockets = Vec::new();
    for _ in 1..workers {
        sockets.push(Bound::Unix(socket.try_clone().map_err(told)?));
    }
    sockets.push(Bound::Unix(socket));
    Ok(Listener { name, address: None, sockets, file: Some(Arc::new(file)) })
}

fn remove_stale(
    path: &Path,
    place: &SockAddr,
    told: impl Fn(io::Error) -> NoListener,
) -> Result<(), NoListener> {
    if !fs::symlink_metadata(path).map_err(&told)?.file_type().is_socket() {
        return Err(NoListener::NoSocket(path.to_owned()));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(&told)?;
    // A full queue must not block us: who has one listens.
    socket.set_nonblocking(true).map_err(&told)?;
    match socket.connect(place) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(told)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(told(error)),
        _ => Err(NoListener::FileTaken(path.to_owned())),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Where it fails, the next process finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}
