//! The embedded MX's thread and its sockets.

use super::authority::Authority;
use super::gate::Gate;
use super::speaker::meet;
use super::{Ledger, Recipe, Schedule};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A running embedded MX; it ends when it is dropped.
pub struct Sandbox {
    address: SocketAddr,
    authority: Arc<Authority>,
    ledger: Arc<Ledger>,
    gate: Arc<Gate>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An embedded MX that can't start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Its socket or thread.
    #[error("the sandbox: {0}")]
    Io(#[from] std::io::Error),
    /// Its certificates.
    #[error("the sandbox's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Sandbox {
    /// Listens on `listen`, which must be a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// The socket, the thread or the certificates can't be made.
    pub fn start(listen: SocketAddr, recipe: Recipe, ledger: Arc<Ledger>) -> Result<Sandbox, SandboxError> {
        Sandbox::start_as(None, listen, recipe, ledger)
    }

    /// The same with the certificate authority in the file `identity`, which is made where it is missing: so that clients
    /// trust what is started again.
    ///
    /// # Errors
    /// The socket, the thread or the certificates can't be made.
    pub fn start_as(
        identity: Option<&Path>,
        listen: SocketAddr,
        recipe: Recipe,
        ledger: Arc<Ledger>,
    ) -> Result<Sandbox, SandboxError> {
        if !listen.ip().is_loopback() {
            return Err(std::io::Error::other("listens on loopback addresses only").into());
        }
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let authority = Arc::new(match identity {
            Some(path) => Authority::kept(address.ip(), path)?,
            None => Authority::new(address.ip())?,
        });
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("aws-lc-rs does both versions")
            .with_no_client_auth()
            .with_cert_resolver(authority.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let gate = Arc::new(Gate::new(recipe.limits.clone()));
        let (book, door) = (ledger.clone(), gate.clone());
        let thread = std::thread::Builder::new().name("sandbox".into()).spawn(move || {
            let recipe = Rc::new(recipe);
            let accept = async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                loop {
                    match listener.accept().await {
                        Ok((stream, client)) => {
                            let (recipe, book, acceptor) = (recipe.clone(), book.clone(), acceptor.clone());
                            tokio::task::spawn_local(meet(stream, client.ip(), door.clone(), recipe, book, acceptor));
                        }
                        // Out of descriptors: wait for sessions to end.
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                    }
                }
            };
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Sandbox { address, authority, ledger, gate, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its CA's certificate in DER.
    pub fn root(&self) -> Vec<u8> {
        self.authority.der().to_vec()
    }

    /// Its CA's certificate in PEM.
    pub fn root_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Other limits from now on.
    pub fn limit(&self, limits: Schedule) {
        self.gate.change(limits);
    }

    /// What it accepted.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    #[test]
    fn octets_and_round_trips_are_counted() {
        let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), Recipe::default(), Arc::default()).expect("it starts");
        let mut stream = TcpStream::connect(sandbox.address()).expect("it listens");
        let mut replies = BufReader::new(stream.try_clone().expect("a second handle")).lines().map_while(Result::ok);
        let mut last_of = |count: usize| replies.by_ref().filter(|line| line.as_bytes()[3] == b' ').nth(count - 1);
        last_of(1).expect("a greeting");
        // Four times the client waits for what it was told: pipelining is one of them.
        let said = [
            "EHLO a\r\n",
            "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n",
            "Message-ID: <1>\r\n\r\nx\r\n.\r\n",
            "QUIT\r\n",
        ];
        for (text, replies) in said.iter().zip([1, 3, 1, 1]) {
            stream.write_all(text.as_bytes()).expect("it reads");
            last_of(replies).expect("its reply");
        }
        let totals = sandbox.ledger().totals();
        assert_eq!((totals.accepted, totals.turns), (1, 4));
        assert_eq!(totals.octets, said.iter().map(|text| text.len() as u64).sum::<u64>());
    }
}
