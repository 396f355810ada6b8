//! The other commands' side: asks the engine of a state directory.

use super::door::Door;
use super::{EngineView, Error, Probe, Refusal, RunView, Submit, Target};
use crate::probe::Finding;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// A way to the engine of a state directory. Each call is a connection of its own: a client that watches a run for a night
/// holds nothing in the engine.
pub struct Client {
    state_dir: PathBuf,
    runtime: Runtime,
    /// How long an answer may take that no work hangs on.
    pub(super) answer: Duration,
}

/// How long a new engine may take to open its store before somebody who asks gives up.
const OPENING: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(50);
/// An engine that is at work answers at once; one that is stopped (SIGSTOP) or whose disk hangs must not hang the command.
const ANSWER: Duration = Duration::from_secs(10);
/// To open a campaign is to digest an input and to read a run's outcomes.
const SUBMITTED: Duration = Duration::from_secs(600);
/// To cancel is to write an outcome for each row that waits.
const CANCELLED: Duration = Duration::from_secs(600);
/// To probe a batch of domains is to wait for the slowest of their hosts.
const PROBED: Duration = Duration::from_secs(1800);
/// Far beyond any view of ours.
const LARGEST_ANSWER: usize = 64 << 20;

impl Client {
    /// Finds the engine of `state_dir`. While `is_held` says that somebody holds its lock, an engine that does not listen yet
    /// is waited for.
    ///
    /// # Errors
    /// [`Error::NoEngine`], or [`Error::NotYet`] if it opens its store for long.
    pub fn connect(state_dir: &Path, is_held: impl Fn() -> bool) -> Result<Client, Error> {
        let socket = |cause| Error::Socket { state_dir: state_dir.to_owned(), cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(socket)?;
        let client = Client { state_dir: state_dir.to_owned(), runtime, answer: ANSWER };
        let deadline = Instant::now() + OPENING;
        loop {
            match client.runtime.block_on(client.open()) {
                Ok(_) => return Ok(client),
                Err(Error::NoEngine(_)) if is_held() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(Error::NotYet(client.state_dir));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// How the engine stands.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn view(&self) -> Result<EngineView, Error> {
        self.ask(Method::GET, "/view", None::<&()>, self.answer)
    }

    /// How a run stands, by the name that `status` shows.
    ///
    /// # Errors
    /// The engine knows no such run, or can't be asked.
    pub fn run(&self, run: &str) -> Result<RunView, Error> {
        // A path's segment; a run's name is hexadecimal, and anything else that was typed is no run.
        let name: String = run.chars().filter(char::is_ascii_alphanumeric).collect();
        if name != run || name.is_empty() {
            return Err(Error::Refused(Refusal::no_run(run)));
        }
        self.ask(Method::GET, &format!("/runs/{name}"), None::<&()>, self.answer)
    }

    /// Hands a campaign over. The answer is its run's view when it was opened.
    ///
    /// # Errors
    /// Whatever stops it before its first message, or the engine can't be asked.
    pub fn submit(&self, campaign: &Submit) -> Result<RunView, Error> {
        self.ask(Method::POST, "/submit", Some(campaign), SUBMITTED)
    }

    /// Begins no further message of `target`. Answers with what the operator should know, if there is something.
    ///
    /// # Errors
    /// There is no such target, or the engine can't be asked.
    pub fn pause(&self, target: &Target) -> Result<Option<String>, Error> {
        self.ask(Method::POST, "/pause", Some(target), self.answer)
    }

    /// Takes a pause back.
    ///
    /// # Errors
    /// It was not paused, or the engine can't be asked.
    pub fn resume(&self, target: &Target) -> Result<(), Error> {
        self.ask(Method::POST, "/resume", Some(target), self.answer)
    }

    /// Ends the rows of `target` that are not on a wire as cancelled. Answers how many.
    ///
    /// # Errors
    /// There is no such target, or the engine can't be asked.
    pub fn cancel(&self, target: &Target) -> Result<u64, Error> {
        self.ask(Method::POST, "/cancel", Some(target), CANCELLED)
    }

    /// Looks at some domains of a probe. Fewer come back if the engine ends meanwhile.
    ///
    /// # Errors
    /// The engine can't look, or can't be asked.
    pub fn probe(&self, probe: &Probe) -> Result<Vec<Finding>, Error> {
        self.ask(Method::POST, "/probe", Some(probe), PROBED)
    }

    /// Tells the engine to take nothing more, to send what is in memory, and to end.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn drain(&self) -> Result<(), Error> {
        self.ask(Method::POST, "/drain", None::<&()>, self.answer)
    }

    fn ask<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        patience: Duration,
    ) -> Result<Answer, Error> {
        let strange = |cause: String| Error::Strange { state_dir: self.state_dir.clone(), cause };
        // What we send is ours: only a path that isn't UTF-8 can't be written.
        let unsayable = |error| Error::Refused(Refusal::usage(format!("the request can't be written: {error}")));
        let body = body.map(serde_json::to_vec).transpose().map_err(unsayable)?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "engine")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| strange(error.to_string()))?;
        let exchange = async { tokio::time::timeout(patience, self.exchange(request)).await };
        let silent = |_| Error::Silent(self.state_dir.clone());
        let (status, body) = self.runtime.block_on(exchange).map_err(silent)??;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| strange(error.to_string()));
        }
        match serde_json::from_slice(&body) {
            Ok(refusal) => Err(Error::Refused(refusal)),
            Err(_) => Err(strange(format!("it answered {status}"))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Error> {
        let gone = |_| Error::Gone(self.state_dir.clone());
        let stream = TokioIo::new(self.open().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(gone)?;
        // It ends with the connection, or with the runtime.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(gone)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|_| Error::Gone(self.state_dir.clone()))?;
        Ok((status, body.to_bytes()))
    }

    async fn open(&self) -> Result<UnixStream, Error> {
        let state_dir = || self.state_dir.clone();
        let connected = match Door::of(&self.state_dir) {
            Ok(door) => UnixStream::connect(door.path()).await,
            Err(cause) => Err(cause),
        };
        connected.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NoEngine(state_dir()),
            // So many wait already that the kernel takes no more: it was stopped long ago.
            io::ErrorKind::WouldBlock => Error::Silent(state_dir()),
            _ => Error::Socket { state_dir: state_dir(), cause },
        })
    }
}
