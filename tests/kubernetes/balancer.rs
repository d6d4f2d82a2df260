//! What a Service is: each new connection goes to one of the pods that are ready, and stays there.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

#[derive(Clone)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    pods: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let balancer = Self { address: listener.local_addr().unwrap(), pods: Arc::default() };
        let own = balancer.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let pods = own.pods.lock().unwrap().clone();
                let pod = pods[fastrand::usize(..pods.len())];
                thread::spawn(move || between(&client?, &TcpStream::connect(pod)?));
            }
        });
        balancer
    }

    pub(crate) fn add(&self, pod: SocketAddr) {
        self.pods.lock().unwrap().push(pod);
    }

    pub(crate) fn remove(&self, pod: SocketAddr) {
        self.pods.lock().unwrap().retain(|one| *one != pod);
    }
}

/// Bytes, ends and resets pass, both ways.
fn between(client: &TcpStream, pod: &TcpStream) -> io::Result<()> {
    for socket in [client, pod] {
        socket.set_nodelay(true)?;
    }
    thread::scope(|scope| {
        scope.spawn(|| pass(client, pod));
        pass(pod, client);
    });
    Ok(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let mut room = vec![0; 64 * 1024];
    let ended = loop {
        match from.read(&mut room) {
            Ok(0) => break to.shutdown(Shutdown::Write),
            Ok(length) => match to.write_all(&room[..length]) {
                Ok(()) => {}
                Err(error) => break Err(error),
            },
            Err(error) => break Err(error),
        }
    };
    if ended.is_err() {
        for socket in [from, to] {
            // The last who lets go of it resets it; who waits there is woken.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}
