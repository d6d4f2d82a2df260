//! A request that an operator sends.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use tokio::time::timeout;

use super::Proxy;
use crate::{client::Hop, headers::Scheme, reply::Reply, visit::Carrier};

impl Proxy {
    /// Gives its number, and what is to be run for it, on a worker: the answer is taken for as long as
    /// `patience` lasts, and then left as by any client.
    pub(crate) fn operate(
        &self,
        request: Request<Full<Bytes>>,
        scheme: Scheme,
        patience: Duration,
    ) -> (u64, impl Future<Output = ()> + Send + use<>) {
        let house = self.shared.house.load_full();
        // On this machine, or let in by a token: to the backend, it is ours.
        let here = Some(([127, 0, 0, 1], 0).into());
        let (mut connection, _) = self.connection(Hop { address: here, scheme }, None);
        connection.name = "operator".into();
        let (head, body) = request.into_parts();
        let head = Box::new(head);
        let visit = house.open(&head, Carrier::Operator(Arc::new(connection)));
        let serial = visit.record().serial();
        let answered = async move { take(house.visit(visit, head, body).await).await };
        (serial, async move {
            // Dropped, it is a client that leaves.
            let _ = timeout(patience, answered).await;
        })
    }
}

/// To its end.
async fn take(answer: Response<Reply>) {
    let mut reply = answer.into_body();
    while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut reply).poll_frame(cx)).await {}
}
