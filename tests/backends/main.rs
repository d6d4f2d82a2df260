//! Real servers, with and without seawall before them.
//!
//! Each test starts one server twice. Direct, rude clients leave in the middle of things, and where
//! that server is known to be hurt, the harm must show: so the eye that looks for it is proven able
//! to see. Then the same clients do the same through seawall, and the server must not have noticed
//! anything: not a line of complaint, every view run to its end, no half upload.
//!
//! - `servers`: how each one is started, and the harm it is known to come to; `server`: one of them
//! - `direct`, `shielded`: the two halves of each test
//! - `scenes`: what the clients do, step by step; `rude`: the clients
//! - `sockets`: servers of WebSocket, and what they are told of clients that leave
//! - `storm`: ten impatient refreshes of one slow page
//! - `harm`: what counts as harm in a server's output
//! - `seawall`: the program under test, and its access log
//! - `wrapped`: the servers behind `seawall --`, as typed; `terminal.py`: where
//! - `restarts`: the servers restart on their `stage`, under `load`
//! - `process`, `output`: child processes, ended in any case, and what they write
//! - `apps/`: the views, on each framework; `setup` installs what they need

mod direct;
#[allow(
    clippy::disallowed_types,
    reason = "scenes measure real time: nothing here has a paused clock"
)]
#[path = "../harness/family.rs"]
mod family;
mod harm;
mod load;
mod output;
mod process;
mod restarts;
mod rude;
mod scenes;
mod seawall;
mod server;
mod servers;
mod several;
mod shielded;
mod sockets;
mod stage;
mod storm;
mod wrapped;

use server::Server;

fn unharmed_behind_seawall(server: &Server) {
    direct::harmed(server);
    shielded::unharmed(server);
}

#[test]
fn flask_with_threads_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::FLASK_THREADED);
}

#[test]
fn flask_with_one_thread_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::FLASK_ONE_THREAD);
}

#[test]
fn flask_1_on_werkzeug_0_16_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::CLASSIC_FLASK);
}

#[test]
fn gunicorn_sync_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::GUNICORN_SYNC);
}

#[test]
fn gunicorn_gthread_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::GUNICORN_GTHREAD);
}

#[test]
fn uwsgi_http_socket_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::UWSGI_HTTP_SOCKET);
}

#[test]
fn uwsgi_http_router_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::UWSGI_HTTP_ROUTER);
}

#[test]
fn gevent_pywsgi_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::GEVENT);
}

#[test]
fn waitress_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::WAITRESS);
}

#[test]
fn django_runserver_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::DJANGO);
}

#[test]
fn uvicorn_with_starlette_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::UVICORN);
}

#[test]
fn websockets_is_told_in_order_that_a_client_leaves() {
    sockets::told_in_order(&sockets::WEBSOCKETS, |text| harm::complaint(text).is_some());
}

#[test]
fn uvicorn_is_told_in_order_that_a_websocket_client_leaves() {
    // To it a lost connection is 1006, or no code at all.
    sockets::told_in_order(&sockets::UVICORN, |text| {
        text.contains(" 1006]") || text.contains(" 1005]")
    });
}

#[test]
fn http_server_with_threads_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::HTTP_SERVER_THREADED);
}

#[test]
fn http_server_with_one_thread_never_notices_a_client_leave() {
    unharmed_behind_seawall(&servers::HTTP_SERVER_ONE_THREAD);
}

#[test]
fn thirty_at_once_before_the_short_queue_of_http_server_wait_for_no_second() {
    storm::burst(&servers::HTTP_SERVER_THREADED);
}

#[test]
fn a_refresh_storm_on_http_server_runs_the_view_once_with_join_and_twice_at_most_without() {
    storm::weathered(&servers::HTTP_SERVER_ONE_THREAD);
}

#[test]
fn a_refresh_storm_on_flask_runs_the_view_once_with_join_and_twice_at_most_without() {
    storm::weathered(&servers::FLASK_ONE_THREAD);
}
