//! Owns the connections: how many there may be, how long one may take. Never
//! knows what is asked.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Connections at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take, and a connection without one lasts.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long to wait when the system gives no more connections.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Answers whoever connects, until `stopped` says something or is dropped.
pub(super) async fn serve(listener: net::TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let accepting = tokio::spawn(accept(listener, router));
    _ = stopped.await;
    accepting.abort();
}

async fn accept(listener: net::TcpListener, router: Router) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin face cannot be served"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer(stream, router.clone());
                tokio::spawn(async move {
                    _ = timeout(CONNECTION_TIMEOUT, answering).await;
                    drop(place);
                });
            }
            // No more files, most likely: some will be closed.
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Whoever hangs up or speaks no HTTP is no concern of anybody else.
async fn answer(stream: TcpStream, router: Router) {
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    _ = connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}
