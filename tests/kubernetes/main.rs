//! The manifests in `docker/kubernetes`: valid, restricted, and brought up for real.
//!
//! - `manifests`: what kustomize and Helm make of them (`manifests.py`, in a virtual environment of
//!   `tests/backends/setup`); `rules`: what must hold of each; `valid`: that it does
//! - `engine`: podman, with a store of its own; `setup` puts the images there
//! - `pod`: a pod, begun and ended as a kubelet does it
//! - `crowd`: rude clients and patient ones, 200 requests a second; `balancer`: what stands between them and
//!   the pods, as a Service does
//! - `readme`: what it says of all this
//! - `pods`: one pod, and a rolling restart of two; `replicas`: two with the Redis that they share
//!
//! There is no kubelet here and no network of a cluster: what they do with a pod is carried out by `pod` as they are
//! documented, one restart of a container after a failed probe included. Named ports, endpoints, a volume's limit and
//! network policies are outside of that; `rules` looks at them on paper.
//!
//! Pods need podman, root, and the images of `tests/deploy`. Where those are not, these tests say so and do
//! nothing; with `TEST_ENGINE=required` they fail instead.

#![allow(
    clippy::disallowed_types,
    reason = "scenes measure real time: nothing here has a paused clock"
)]

mod balancer;
mod crowd;
mod engine;
#[path = "../backends/harm.rs"]
#[allow(dead_code, reason = "the servers here are not those of that test")]
mod harm;
mod manifests;
#[path = "../backends/output.rs"]
#[allow(dead_code, reason = "shared with tests/backends")]
mod output;
mod pod;
mod pods;
mod readme;
mod replicas;
#[path = "../backends/rude.rs"]
#[allow(dead_code, reason = "shared with tests/backends")]
mod rude;
mod rules;
mod valid;
