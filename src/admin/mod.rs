//! The HTTP face for whoever watches the relay: metrics, a JSON view, a page
//! for people. It runs on a thread of its own, asks the loop a bounded number
//! of bounded questions a second, and reads the directory. Never changes
//! anything, and never keeps the loop waiting.

mod api;
mod guard;
mod http;
mod metrics_page;
mod routes;
mod views;

use crate::config::AdminConfig;
use crate::directory::Directory;
use crate::server::Handle;
use guard::Guard;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;
use views::Views;

/// Threads that wait for the loop's answers, or list the directory.
const LOOKING_THREADS_MAX: usize = 4;

/// The niceness of its threads: the least share of a processor that there is.
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;

/// Why there is no HTTP face.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken, or is none of this machine.
    #[error("cannot listen on {bind} for the admin face: {source}")]
    Bind {
        /// The address.
        bind: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread, or no way to wait.
    #[error("cannot start the admin face: {0}")]
    Start(#[from] io::Error),
}

/// The HTTP face on its port, not answering yet.
///
/// ```
/// use outcry::{admin::Face, config::{AdminConfig, Config}, server::Server};
///
/// let server = Server::bind(&Config::for_bind("127.0.0.1:0".parse()?))?;
/// let config = AdminConfig::new("127.0.0.1:0".parse()?, None).expect("loopback needs no token");
/// let face = Face::bind(&config)?;
/// println!("metrics at http://{}/metrics", face.local_addr());
/// let answering = face.serve(server.handle(), server.directory())?;
/// drop(answering);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Face {
    listener: TcpListener,
    local_addr: SocketAddr,
    guard: Guard,
}

impl Face {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(config: &AdminConfig) -> Result<Self, AdminError> {
        let bind = config.bind();
        let open = || {
            let listener = TcpListener::bind(bind)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (local_addr, listener) = open().map_err(|source| AdminError::Bind { bind, source })?;
        Ok(Self { listener, local_addr, guard: Guard::new(config.token().cloned()) })
    }

    /// The same on a port that another process had open, if it is the one that the configuration wants.
    ///
    /// # Errors
    /// It is another one, and that cannot be listened on.
    pub fn adopt(config: &AdminConfig, listener: TcpListener) -> Result<Self, AdminError> {
        let wanted = |addr: SocketAddr| config.bind().port() == 0 || addr.port() == config.bind().port();
        match listener.local_addr() {
            Ok(local_addr) if local_addr.ip() == config.bind().ip() && wanted(local_addr) => {
                listener.set_nonblocking(true)?;
                Ok(Self { listener, local_addr, guard: Guard::new(config.token().cloned()) })
            }
            _ => Self::bind(config),
        }
    }

    /// Its port, for another process.
    #[cfg(unix)]
    pub fn share(&self) -> Option<std::os::fd::OwnedFd> {
        use std::os::fd::AsFd;
        self.listener.as_fd().try_clone_to_owned().ok()
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers, on a thread of its own, until what is returned is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn serve(self, relay: Handle, directory: Arc<Directory>) -> Result<Serving, AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKING_THREADS_MAX)
            .thread_name("outcry-admin-look")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let views = Arc::new(Views::new(relay, directory));
        let router = routes::router(self.guard, Arc::clone(&views));
        let thread = thread::Builder::new().name("outcry-admin".to_owned()).spawn(move || {
            give_way();
            runtime.spawn(async move { views.forget().await });
            runtime.block_on(http::serve(self.listener, router, stopped));
            // Who still waits for the loop is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Serving { stop: Some(stop), thread: Some(thread) })
    }
}

/// Leaves the processor to the loop where both want it: who watches can wait.
fn give_way() {
    // On Linux of this thread alone, and of those that it starts (setpriority(2),
    // "C library/kernel differences"). A sandbox may forbid it: then nothing is lost but this.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(LOWEST_PRIORITY);
}

/// The HTTP face while it answers; it ends when dropped.
pub struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
