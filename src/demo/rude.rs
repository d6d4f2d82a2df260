//! Clients without manners, and a patient one.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, SystemTime},
};

use super::fragile::PATIENT;

/// How long the rude ones wait before they leave.
const PATIENCE: Duration = Duration::from_millis(100);

fn get(door: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut server = TcpStream::connect(door)?;
    write!(server, "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    Ok(server)
}

pub(super) fn leaves_while_waiting(door: SocketAddr) -> io::Result<()> {
    let server = get(door, "/work")?;
    sleep(PATIENCE);
    drop(server);
    Ok(())
}

pub(super) fn leaves_in_mid_download(door: SocketAddr) -> io::Result<()> {
    let mut server = get(door, "/download")?;
    server.read_exact(&mut [0; 10_000])
}

pub(super) fn resets_in_mid_download(door: SocketAddr) -> io::Result<()> {
    let mut server = get(door, "/download")?;
    server.read_exact(&mut [0; 10_000])?;
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO))
}

pub(super) fn leaves_in_mid_upload(door: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(door)?;
    write!(server, "POST /upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 1000000\r\n\r\n")?;
    server.write_all(&[0; 10_000])?;
    sleep(PATIENCE);
    Ok(())
}

/// Takes its time, while others wait; then the rest at once.
pub(super) fn reads_slowly(door: SocketAddr) -> io::Result<()> {
    let mut server = get(door, "/download")?;
    crate::runtime::thread("slow", move || {
        let mut bytes = [0; 4096];
        for _ in 0..15 {
            sleep(PATIENCE);
            if server.read(&mut bytes).is_err() {
                return;
            }
        }
        // It has been shown by now; that the rest comes is the other tests' business.
        let _ = io::copy(&mut server, &mut io::sink());
    });
    sleep(PATIENCE);
    Ok(())
}

pub(super) fn five_leave_the_queue(door: SocketAddr) -> io::Result<()> {
    let _first = get(door, "/work")?;
    sleep(PATIENCE);
    let five: io::Result<Vec<_>> = (0..5).map(|_| get(door, "/work")).collect();
    sleep(PATIENCE);
    drop(five?);
    Ok(())
}

/// Waits for its whole answer, and says how long that took.
pub(super) fn patient(door: SocketAddr) -> io::Result<Duration> {
    let came = SystemTime::now();
    let mut answer = String::new();
    get(door, PATIENT)?.read_to_string(&mut answer)?;
    if !answer.ends_with("behind\n") {
        return Err(io::Error::other("the patient client got no whole answer"));
    }
    Ok(came.elapsed().unwrap_or_default())
}
