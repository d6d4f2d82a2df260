//! What a rude client does to a server, step by step.

use std::net::SocketAddr;

use crate::harm::WHOLE_UPLOAD;
use crate::output::Output;
use crate::rude::{Client, Leaving};

/// Where a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// While the view sleeps and nothing has been answered.
    Nap,
    /// In the middle of a streamed answer.
    Drip,
    /// In the middle of an answer of 8 MiB.
    Big,
    /// In the middle of its own upload of 8 MiB, the length stated.
    Upload,
    /// In the middle of its own upload of 8 MiB, chunked. Few of the servers can read that
    /// themselves.
    ChunkedUpload,
}

/// A scene and the way its client leaves it: one request, and its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) scene: Scene,
    leaving: Leaving,
}

impl Scene {
    pub(crate) fn plays(self) -> [Play; 2] {
        [Leaving::Fin, Leaving::Rst].map(|leaving| Play { scene: self, leaving })
    }

    pub(crate) fn is_upload(self) -> bool {
        matches!(self, Self::Upload | Self::ChunkedUpload)
    }

    fn view(self) -> &'static str {
        match self {
            Self::Nap => "nap",
            Self::Drip => "drip",
            Self::Big => "big",
            Self::Upload | Self::ChunkedUpload => "upload",
        }
    }

    /// Length of the whole answer's body, or a lower bound of it: as `apps/views.py` makes them.
    fn answer(self) -> usize {
        match self {
            Self::Nap => "napped x".len(),
            Self::Drip => 8 * 4000,
            Self::Big => 8 * 1024 * 1024,
            Self::Upload | Self::ChunkedUpload => format!("received {WHOLE_UPLOAD}").len(),
        }
    }
}

impl Play {
    pub(crate) fn path(self) -> String {
        format!("/{}/{}", self.scene.view(), self.id())
    }

    pub(crate) fn path_again(self) -> String {
        format!("{}-again", self.path())
    }

    /// The mark that the view sets when it begins.
    pub(crate) fn began(self) -> String {
        format!("[began {} {}]", self.scene.view(), self.id())
    }

    /// The mark that the view sets when it has run to its end.
    pub(crate) fn done(self) -> String {
        format!("[done {} {}]", self.scene.view(), self.id())
    }

    pub(crate) fn done_again(self) -> String {
        format!("[done {} {}-again]", self.scene.view(), self.id())
    }

    /// Leaves in the middle of an answer, once the view is at it.
    pub(crate) fn leave_answer(self, to: SocketAddr, output: &Output) {
        let mut client =
            Client::sends(to, format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", self.path()));
        match self.scene {
            Scene::Nap => output.wait_for(&self.began()),
            Scene::Drip => drop(client.reads(2000)),
            Scene::Big => drop(client.reads(64 * 1024)),
            Scene::Upload | Scene::ChunkedUpload => {
                unreachable!("an upload is left before its answer")
            }
        }
        client.leaves(self.leaving);
    }

    /// Leaves in the middle of the upload. `at` waits until that middle is reached, on a client
    /// that has sent a part.
    pub(crate) fn leave_upload(self, to: SocketAddr, more: &str, at: impl FnOnce(&mut Client)) {
        let mut client = Client::sends(to, self.upload_head(&self.path(), more));
        if self.scene == Scene::ChunkedUpload {
            client.and_sends(format!("{WHOLE_UPLOAD:x}\r\n"));
        }
        client.and_sends(vec![b'u'; WHOLE_UPLOAD / 8]);
        at(&mut client);
        client.leaves(self.leaving);
    }

    /// The same request again, from a patient client, which has to get all of its answer.
    pub(crate) fn again(self, to: SocketAddr) -> Result<(), String> {
        let path = self.path_again();
        let mut client = if self.scene.is_upload() {
            Client::sends(to, self.upload_head(&path, "Connection: close\r\n"))
        } else {
            Client::sends(
                to,
                format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"),
            )
        };
        let whole = vec![b'u'; WHOLE_UPLOAD];
        match self.scene {
            Scene::Upload => client.and_sends(whole),
            Scene::ChunkedUpload => {
                for chunk in whole.chunks(100_000) {
                    client.and_sends(format!("{:x}\r\n", chunk.len()));
                    client.and_sends(chunk);
                    client.and_sends("\r\n");
                }
                client.and_sends("0\r\n\r\n");
            }
            Scene::Nap | Scene::Drip | Scene::Big => {}
        }
        let length = client.answered()?.len();
        let expected = self.scene.answer();
        if length < expected {
            Err(format!("an answer of {length} of {expected} bytes"))
        } else {
            Ok(())
        }
    }

    fn upload_head(self, path: &str, more: &str) -> String {
        let framing = match self.scene {
            Scene::ChunkedUpload => "Transfer-Encoding: chunked".to_owned(),
            _ => format!("Content-Length: {WHOLE_UPLOAD}"),
        };
        format!("POST {path} HTTP/1.1\r\nHost: test\r\n{framing}\r\n{more}\r\n")
    }

    fn id(self) -> &'static str {
        match (self.scene, self.leaving) {
            (Scene::ChunkedUpload, Leaving::Fin) => "chunked-fin",
            (Scene::ChunkedUpload, Leaving::Rst) => "chunked-rst",
            (_, Leaving::Fin) => "fin",
            (_, Leaving::Rst) => "rst",
        }
    }
}

/// A small request, answered: the server still serves.
pub(crate) fn plain(id: &str, to: SocketAddr) {
    let request = format!("GET /plain/{id} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer =
        Client::sends(to, request).answered().unwrap_or_else(|why| panic!("/plain/{id}: {why}"));
    assert_eq!(answer, format!("plain {id}\n").as_bytes());
}
